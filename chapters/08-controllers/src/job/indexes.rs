//! Completion indexes as a Job's status has them: `1,3-5,7`.
//!
//! Upstream: `orderedIntervals` in `pkg/controller/job/indexed_job_utils.go`.

use std::fmt;

/// A set of indexes, kept as intervals: a Job may have a hundred thousand of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    /// First and last; in order, and never next to one another.
    intervals: Vec<(i32, i32)>,
}

impl Indexes {
    /// Those of `text` that are less than `completions`; what is no number is passed over.
    pub fn parse(text: &str, completions: i32) -> Self {
        let mut indexes = Indexes::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>())
                && first < completions
            {
                indexes.insert_all(first, last.min(completions - 1));
            }
        }
        indexes
    }

    /// Adds one.
    pub fn insert(&mut self, index: i32) {
        self.insert_all(index, index);
    }

    fn insert_all(&mut self, first: i32, last: i32) {
        // Those that it touches become one with it.
        let from = self.intervals.partition_point(|(_, end)| *end < first - 1);
        let to = self
            .intervals
            .partition_point(|(start, _)| *start <= last + 1);
        let touched = self.intervals.get(from..to).unwrap_or_default();
        let first = touched
            .first()
            .map_or(first, |(start, _)| first.min(*start));
        let last = touched.last().map_or(last, |(_, end)| last.max(*end));
        self.intervals.splice(from..to.max(from), [(first, last)]);
    }

    /// Whether it is one of them.
    pub fn contains(&self, index: i32) -> bool {
        let place = self.intervals.partition_point(|(_, last)| *last < index);
        let interval = self.intervals.get(place);
        interval.is_some_and(|(first, _)| *first <= index)
    }

    /// How many there are.
    pub fn total(&self) -> i32 {
        let lengths = self.intervals.iter().map(|(first, last)| last - first + 1);
        lengths.sum()
    }

    /// How many of them are of `others`, too.
    pub fn common(&self, others: &Indexes) -> i32 {
        let pairs = self.intervals.iter().flat_map(|(first, last)| {
            let theirs = others.intervals.iter();
            theirs.map(move |(start, end)| (last.min(end) - first.max(start) + 1).max(0))
        });
        pairs.sum()
    }

    /// The first `count` that are not among these, nor as large as `completions`.
    pub fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut next = 0;
        let ends = self.intervals.iter().copied();
        for (first, last) in ends.chain([(completions, completions)]) {
            let room = count - missing.len();
            missing.extend((next..first.min(completions)).take(room));
            next = last + 1;
        }
        missing
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.intervals.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{first}")?;
            match last - first {
                0 => {}
                1 => write!(f, ",{last}")?,
                _ => write!(f, "-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_grow_together() {
        let mut indexes = Indexes::default();
        for (index, text) in [
            (3, "3"),
            (5, "3,5"),
            (4, "3-5"),
            (0, "0,3-5"),
            (1, "0,1,3-5"),
            (2, "0-5"),
            (2, "0-5"),
            (9, "0-5,9"),
        ] {
            indexes.insert(index);
            assert_eq!(indexes.to_string(), text);
            assert_eq!(Indexes::parse(text, 100), indexes);
        }
        assert_eq!(indexes.total(), 7);
        assert!(indexes.contains(4) && indexes.contains(9) && !indexes.contains(7));
        assert_eq!(indexes.first_missing(3, 100), [6, 7, 8]);
        assert_eq!(indexes.first_missing(5, 11), [6, 7, 8, 10]);
        assert_eq!(indexes.first_missing(5, 7), [6]);
        assert_eq!(indexes.common(&Indexes::parse("4-9", 100)), 3);
    }

    #[test]
    fn what_is_too_large_or_no_number_is_passed_over() {
        for (text, expect) in [("", ""), ("1-9", "1-4"), ("x,2,7", "2"), ("3-", "")] {
            assert_eq!(Indexes::parse(text, 5).to_string(), expect, "{text}");
        }
    }
}
