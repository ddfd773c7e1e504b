//! The wire format of protobuf, reading side: numbered values of a message. It knows no types.

use crate::decode::DecodeFault;

/// One value as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Reads the values of one message in order.
pub(super) struct Cursor<'a>(&'a [u8]);

fn cut() -> DecodeFault {
    DecodeFault("unexpected EOF".to_owned())
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn varint(&mut self) -> Result<u64, DecodeFault> {
        let mut value = 0u64;
        for place in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or_else(cut)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (place * 7);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeFault("proto: integer overflow".to_owned()))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeFault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next value and its number. Groups, long out of use, are refused.
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeFault> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| *n != 0);
        let number = number.ok_or_else(|| DecodeFault(format!("proto: illegal tag {}", tag >> 3)))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| cut())?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| cut())?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| cut())?)),
            other => return Err(DecodeFault(format!("proto: illegal wireType {other}"))),
        };
        Ok(Some((number, value)))
    }
}

/// A string; Go takes any bytes, JSON does not.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
