//! What is in a simulated file, on the disk and in the kernel; and chance.

use std::collections::{BTreeMap, BTreeSet};

const SECTOR_BYTES: usize = 512;

/// A file's bytes.
#[derive(Default, Clone)]
pub struct Content {
    pub written: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the kernel will write at the next sync.
    dirty: BTreeSet<usize>,
}

impl Content {
    /// How much is written of a write at `at` that ends early, after `part` bytes. Where the file
    /// is that long already it ends with a sector: a kernel takes what is written page by page,
    /// and has a page written when it has taken all that goes there.
    pub fn cut(&self, at: usize, part: usize) -> usize {
        match at + part {
            end if end < self.written.len() => {
                (end / SECTOR_BYTES * SECTOR_BYTES).saturating_sub(at)
            }
            _ => part,
        }
    }

    pub fn write_at(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        self.written.resize(self.written.len().max(end), 0);
        self.written[at..end].copy_from_slice(bytes);
        self.dirty
            .extend(at / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
    }

    pub fn truncate(&mut self, len: usize, random: &mut Random) {
        // The kernel need not wait for a sync to write what is cut off now.
        self.write_some(random);
        self.written.truncate(len);
        self.dirty.insert(len / SECTOR_BYTES);
    }

    pub fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.write_sector(sector);
        }
        if self.durable.len() > self.written.len() {
            self.durable.truncate(self.written.len());
        }
    }

    /// Brings a sector to the disk.
    fn write_sector(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = self.written.len().min(start + SECTOR_BYTES);
        if start < end {
            self.durable.resize(self.durable.len().max(end), 0);
            self.durable[start..end].copy_from_slice(&self.written[start..end]);
        }
    }

    /// A sync that fails: what could not be written is not dirty any more, so no later sync tries
    /// again.
    pub fn fail_sync(&mut self, random: &mut Random) {
        self.write_some(random);
        self.dirty.clear();
    }

    /// A power cut: what is on the disk is all there is.
    pub fn lose_power(&mut self, random: &mut Random) {
        self.fail_sync(random);
        self.written = self.durable.clone();
    }

    /// Brings any part of what was not synced to the disk.
    fn write_some(&mut self, random: &mut Random) {
        let (before, after) = (self.durable.len(), self.written.len());
        // Often everything before some place and nothing behind it.
        let from = if random.coin() {
            random.below(self.dirty.len())
        } else {
            0
        };
        let is_in_order = from > 0 || random.coin();
        for (n, sector) in self.dirty.clone().into_iter().enumerate() {
            if if is_in_order { n < from } else { random.coin() } {
                self.write_sector(sector);
            }
        }
        let len = match random.below(4) {
            0 => before,
            1 => after,
            // A length is changed in one step when a file is cut, and in many as it grows.
            _ if after > before => before + random.below(after - before),
            _ => after,
        };
        if !self.dirty.is_empty() {
            self.durable.resize(len, 0);
        }
    }
}

/// A change of the names in a directory.
#[derive(Clone)]
pub enum Renamed {
    Added {
        name: String,
        file: usize,
    },
    Moved {
        from: String,
        to: String,
        file: usize,
    },
    Removed(String),
}

impl Renamed {
    pub fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Added { name, file } => {
                names.insert(name.clone(), *file);
            }
            Self::Moved { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

/// Numbers by chance, the same for the same seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit`, both included.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit as u64 + 1)) as usize
    }

    pub fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }
}
