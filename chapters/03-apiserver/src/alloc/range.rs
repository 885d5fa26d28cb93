//! A range of numbers, of which some are taken.

use std::collections::BTreeSet;

/// Numbers from `first`, `size` of them, the first `reserved` of which are given out only by value
/// (or when all others are taken).
#[derive(Debug)]
pub struct Range {
    first: u32,
    size: u32,
    reserved: u32,
    taken: BTreeSet<u32>,
}

/// Why a number can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Somebody has it.
    Taken,
    /// It is none of the range.
    OutOfRange,
    /// Somebody has each of them.
    Full,
}

impl Range {
    /// A range of which none is taken yet.
    pub fn new(first: u32, size: u32, reserved: u32) -> Range {
        Range {
            first,
            size,
            reserved: reserved.min(size),
            taken: BTreeSet::new(),
        }
    }

    /// Takes this number.
    ///
    /// # Errors
    /// It is taken, or out of range.
    pub fn claim(&mut self, number: u32) -> Result<(), Refused> {
        match number.checked_sub(self.first) {
            Some(offset) if offset < self.size => {
                if self.taken.insert(offset) {
                    Ok(())
                } else {
                    Err(Refused::Taken)
                }
            }
            _ => Err(Refused::OutOfRange),
        }
    }

    /// Takes any number that is free; the first one at or after a random place.
    ///
    /// # Errors
    /// All are taken.
    pub fn claim_any(&mut self, random: u128) -> Result<u32, Refused> {
        // ANCHOR: exercise-03.9
        let upper = self.size - self.reserved;
        let band = |start: u32, length: u32| {
            let turn = (random % u128::from(length.max(1))) as u32;
            (0..length).map(move |step| start + (turn + step) % length)
        };
        let offset = band(self.reserved, upper)
            .chain(band(0, self.reserved))
            .find(|offset| !self.taken.contains(offset))
            .ok_or(Refused::Full)?;
        self.taken.insert(offset);
        Ok(self.first + offset)
        // ANCHOR_END: exercise-03.9
    }

    /// Gives a number back.
    pub fn release(&mut self, number: u32) {
        if let Some(offset) = number.checked_sub(self.first) {
            self.taken.remove(&offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_band_first() {
        let mut range = Range::new(100, 5, 2);
        let mut given: Vec<u32> = (0..3)
            .map(|i| range.claim_any(i * 7).expect("free"))
            .collect();
        given.sort_unstable();
        assert_eq!(given, [102, 103, 104]);
        assert_eq!(range.claim(101), Ok(()));
        assert_eq!(range.claim(101), Err(Refused::Taken));
        assert_eq!(range.claim(105), Err(Refused::OutOfRange));
        assert_eq!(
            range.claim_any(9),
            Ok(100),
            "the lower band when there is no other"
        );
        assert_eq!(range.claim_any(9), Err(Refused::Full));
        range.release(103);
        assert_eq!(range.claim_any(9), Ok(103));
    }
}
