//! The numbers and strings of header fields, as Go's `archive/tar` reads them: containerd has no other reader, and
//! stricter ones refuse layers that it takes.

/// A string that a zero byte or the field's end ends.
pub fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// An octal number; zero bytes and blanks around it do not count, and none at all is zero.
pub fn octal(field: &[u8]) -> Option<u64> {
    let blank = |byte: &u8| matches!(byte, 0 | b' ');
    let Some(first) = field.iter().position(|byte| !blank(byte)) else { return Some(0) };
    let last = field.iter().rposition(|byte| !blank(byte)).unwrap_or(first);
    text(&field[first..=last]).iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// An octal number, or, when the first bit is set, the rest of the bits as a two's complement.
pub fn numeric(field: &[u8]) -> Option<i64> {
    let first = field.first().copied().unwrap_or_default();
    if first & 0x80 == 0 {
        return i64::try_from(octal(field)?).ok();
    }
    let negative = first & 0x40 != 0;
    let flip = if negative { 0xff } else { 0 };
    let mut number = i64::from((first ^ flip) & 0x7f);
    for byte in &field[1..] {
        number = number.checked_mul(256)? | i64::from(byte ^ flip);
    }
    Some(if negative { !number } else { number })
}

/// A decimal number of a PAX record.
pub fn decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_may_be_padded_on_both_sides_or_empty() {
        for (field, number) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"  644 \0\0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"", Some(0)),
            (b"77777777", Some(0o77_777_777)),
            (b"12\x0034", Some(0o12)),
            (b"0008", None),
            (b"-1", None),
            (b"1 2", None),
        ] {
            assert_eq!(octal(field), number, "{field:?}");
        }
    }

    #[test]
    fn numbers_that_no_octal_field_holds_are_binary_and_may_be_negative() {
        for (field, number) in [
            (&b"\x80\0\0\0\0\x30\0\0"[..], Some(0x30_0000)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"0000017\0", Some(0o17)),
        ] {
            assert_eq!(numeric(field), number, "{field:?}");
        }
    }
}
