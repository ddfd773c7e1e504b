//! Header blocks: names and values, compressed by one zlib stream per direction that begins with the dictionary.

use super::dictionary::DICTIONARY;
use super::frame::Fault;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Headers of a stream, in their order. Names are lower case on the wire.
pub type Headers = Vec<(String, String)>;

/// Bytes of an inflated block at most: ours are below 100.
pub const BLOCK_MAX: usize = 64 * 1024;
/// Headers in a block at most.
pub const COUNT_MAX: usize = 256;
/// Bytes by which the buffer grows while a block is inflated or deflated.
const STEP: usize = 4096;

/// The value of a header, looked up without regard to case.
#[must_use]
pub fn get<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Writes blocks of one direction.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        compress.set_dictionary(DICTIONARY).expect("a new zlib stream takes a dictionary");
        Self(compress)
    }
}

impl Deflater {
    /// The block of `headers`.
    #[must_use]
    pub fn block(&mut self, headers: &Headers) -> Vec<u8> {
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        let mut plain = length(headers.len()).to_vec();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            for text in [name.as_str(), value] {
                plain.extend_from_slice(&length(text.len()));
                plain.extend_from_slice(text.as_bytes());
            }
        }
        let mut block = Vec::with_capacity(STEP);
        let start = self.0.total_in();
        loop {
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(plain.len());
            let full = block.len();
            block.reserve(STEP);
            self.0
                .compress_vec(&plain[done..], &mut block, FlushCompress::Sync)
                .expect("zlib refuses only a finished stream");
            let taken = usize::try_from(self.0.total_in() - start).unwrap_or(plain.len()) == plain.len();
            // Room left over, or nothing more to write, means that the flush is complete.
            if taken && (block.len() == full || block.len() < block.capacity()) {
                return block;
            }
        }
    }
}

/// Reads blocks of one direction.
#[derive(Debug)]
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Inflater {
    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut plain = Vec::with_capacity(STEP);
        let start = self.0.total_in();
        loop {
            let done = usize::try_from(self.0.total_in() - start).map_err(|_| Fault::Compression)?;
            let before = plain.len();
            plain.reserve(STEP);
            match self.0.decompress_vec(&block[done..], &mut plain, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(Fault::Compression),
                Ok(Status::Ok | Status::BufError) => {}
                Err(wants) if wants.needs_dictionary().is_some() => {
                    self.0.set_dictionary(DICTIONARY).map_err(|_| Fault::Compression)?;
                    continue;
                }
                Err(_) => return Err(Fault::Compression),
            }
            if plain.len() > BLOCK_MAX {
                return Err(Fault::TooLarge { what: "header block", bytes: plain.len() });
            }
            let taken = usize::try_from(self.0.total_in() - start).map_err(|_| Fault::Compression)?;
            if taken == block.len() && plain.len() < plain.capacity() {
                return Ok(plain);
            }
            if taken == done && plain.len() == before {
                // Neither side moved: the rest of the block is no zlib.
                return Err(Fault::Compression);
            }
        }
    }

    /// The headers of a block. After an error the connection cannot be used further: the zlib stream is out of step.
    ///
    /// # Errors
    /// When the block is no zlib, too large, or no list of headers.
    pub fn headers(&mut self, block: &[u8]) -> Result<Headers, Fault> {
        let plain = self.inflate(block)?;
        let mut rest = plain.as_slice();
        let count = take_number(&mut rest)?;
        if count > COUNT_MAX {
            return Err(Fault::TooLarge { what: "number of headers", bytes: count });
        }
        let mut headers = Headers::with_capacity(count);
        for _ in 0..count {
            headers.push((take_text(&mut rest)?, take_text(&mut rest)?));
        }
        if rest.is_empty() { Ok(headers) } else { Err(Fault::Headers) }
    }
}

fn take_number(rest: &mut &[u8]) -> Result<usize, Fault> {
    let (head, tail) = rest.split_first_chunk::<4>().ok_or(Fault::Headers)?;
    *rest = tail;
    usize::try_from(u32::from_be_bytes(*head)).map_err(|_| Fault::Headers)
}

fn take_text(rest: &mut &[u8]) -> Result<String, Fault> {
    let length = take_number(rest)?;
    let (head, tail) = rest.split_at_checked(length).ok_or(Fault::Headers)?;
    *rest = tail;
    String::from_utf8(head.to_vec()).map_err(|_| Fault::Headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_dictionary_is_that_of_spdy_3() {
        let mut compress = Compress::new(Compression::default(), true);
        assert_eq!(compress.set_dictionary(DICTIONARY).unwrap(), 0xe3c6_a7c2);
    }

    #[test]
    fn blocks_in_a_row_are_read_back() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        let long = "x".repeat(9000);
        for pairs in [
            &[("streamtype", "error")][..],
            &[],
            &[("port", "80"), ("requestid", "0"), ("streamtype", "data")],
            &[("a", &long)],
        ] {
            let wants = headers(pairs);
            assert_eq!(inflater.headers(&deflater.block(&wants)).unwrap(), wants);
        }
    }

    #[test]
    fn names_are_lower_case_on_the_wire_and_found_in_any_case() {
        let block = Deflater::default().block(&headers(&[("streamType", "stdin")]));
        let read = Inflater::default().headers(&block).unwrap();
        assert_eq!(read, headers(&[("streamtype", "stdin")]));
        assert_eq!(get(&read, "streamType"), Some("stdin"));
    }

    #[test]
    fn blocks_that_are_no_zlib_or_no_list_are_refused() {
        assert_eq!(Inflater::default().headers(b"no zlib at all"), Err(Fault::Compression));
        assert!(Inflater::default().headers(&[]).is_err());
        let block = Deflater::default().block(&headers(&[("port", "80")]));
        for keep in 0..block.len() - 5 {
            assert!(Inflater::default().headers(&block[..keep]).is_err(), "{keep}");
        }
    }

    #[test]
    fn a_small_block_that_inflates_to_much_is_refused() {
        let bomb = headers(&[("a", &"0".repeat(1 << 20))]);
        let block = Deflater::default().block(&bomb);
        assert!(block.len() < 4096, "{}", block.len());
        assert!(matches!(Inflater::default().headers(&block), Err(Fault::TooLarge { .. })));
    }
}
