//! A disk as pieces of bytes at their places; what lies between them is zero. All formats are written from this.

/// A disk that is not written anywhere yet.
#[derive(Clone, Debug)]
pub struct Drive {
    /// In bytes, a multiple of a sector.
    pub size: u64,
    /// Sorted, none over another.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Drive {
    /// An empty one.
    pub fn new(size: u64) -> Drive {
        Drive { size, pieces: Vec::new() }
    }

    /// Puts bytes at a place.
    ///
    /// # Panics
    /// When they overlap others or the end: layouts are constants and measured lengths, never input.
    pub fn put(&mut self, offset: u64, bytes: Vec<u8>) {
        let end = offset + bytes.len() as u64;
        let at = self.pieces.partition_point(|(place, _)| *place < offset);
        let before = at.checked_sub(1).map_or(0, |n| self.pieces[n].0 + self.pieces[n].1.len() as u64);
        let after = self.pieces.get(at).map_or(self.size, |(place, _)| *place);
        assert!(before <= offset && end <= after, "{offset}..{end} is not free on the disk");
        self.pieces.insert(at, (offset, bytes));
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pieces.iter().map(|(offset, bytes)| (*offset, bytes.as_slice()))
    }

    /// Copies what lies from `offset` on into `into`, zeros between the pieces and beyond the end. Tells whether
    /// anything but zeros was there.
    pub fn fill(&self, offset: u64, into: &mut [u8]) -> bool {
        into.fill(0);
        let end = offset + into.len() as u64;
        let first = self.pieces.partition_point(|(place, bytes)| place + bytes.len() as u64 <= offset);
        for (place, bytes) in self.pieces[first..].iter().take_while(|(place, _)| *place < end) {
            let from = offset.max(*place);
            let to = end.min(place + bytes.len() as u64);
            let source = &bytes[(from - place) as usize..(to - place) as usize];
            into[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
        }
        into.iter().any(|byte| *byte != 0)
    }

    /// The numbers of the blocks of this size on which anything but zeros lies, with what lies there.
    pub fn blocks(&self, size: usize) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let mut numbers: Vec<u64> = Vec::new();
        for (offset, bytes) in &self.pieces {
            let last = (offset + bytes.len() as u64).div_ceil(size as u64);
            let first = offset / size as u64;
            let from = numbers.last().map_or(first, |known| first.max(known + 1));
            numbers.extend(from..last);
        }
        numbers.into_iter().filter_map(move |number| {
            let mut block = vec![0; size];
            self.fill(number * size as u64, &mut block).then_some((number, block))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_the_pieces_is_nothing() {
        let mut drive = Drive::new(100);
        drive.put(50, vec![5; 10]);
        drive.put(10, vec![1; 10]);
        let mut bytes = [9; 50];
        assert!(drive.fill(15, &mut bytes));
        assert_eq!(bytes[..6], [1, 1, 1, 1, 1, 0]);
        assert_eq!(bytes[34..46], [0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 0]);
        assert!(!drive.fill(20, &mut bytes[..30]));
    }

    #[test]
    fn only_blocks_with_something_are_given_and_each_once() {
        let mut drive = Drive::new(100);
        drive.put(3, vec![1; 2]);
        drive.put(6, vec![1; 5]);
        drive.put(30, vec![0; 20]);
        drive.put(99, vec![1]);
        let numbers: Vec<u64> = drive.blocks(10).map(|(number, _)| number).collect();
        assert_eq!(numbers, [0, 1, 9]);
    }

    #[test]
    #[should_panic(expected = "not free")]
    fn nothing_is_put_over_something_else() {
        let mut drive = Drive::new(100);
        drive.put(10, vec![1; 10]);
        drive.put(19, vec![1]);
    }
}
