//! `Quantity`: amounts such as `100m`, `1.5Gi`, `1e3`, read and written as `k8s.io/apimachinery/pkg/api/resource` does.
//! It knows no resource names.

use std::cmp::Ordering;
use std::fmt;

/// The finest unit that is kept, as a power of ten; finer amounts are rounded up.
const NANO: i32 = -9;

/// Digits that the upstream fast path trusts to 64 bits; decides when the text is kept as written.
const INT64_DIGITS: i64 = 18;

/// How the amount was written, and therefore is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    DecimalSi,
}

/// Why a text is no quantity; the words are those of upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text as a whole has the wrong form.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number has more digits than are kept (38), or overflows.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An exact amount: `value * 10^exponent`.
#[derive(Clone, Debug)]
pub struct Quantity {
    value: i128,
    exponent: i32,
    format: Format,
    /// The text as it was written, where upstream keeps it instead of the canonical form.
    written: Option<Box<str>>,
}

const DECIMAL: &[(&str, i32)] =
    &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: &[(&str, u32)] = &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// The parts of a text: sign, whole digits without leading zeros, fraction digits, suffix.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = unsigned.split_at(digits(unsigned));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let tail = &suffix[letters..];
    let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
    if !tail.bytes().all(|b| b.is_ascii_digit()) {
        return Err(QuantityError::Format);
    }
    let trimmed = whole.trim_start_matches('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    Ok(Parts { negative, whole, fraction, suffix })
}

/// A suffix as base and exponent.
enum Scale {
    Ten(i32, Format),
    Two(u32),
}

fn scale(suffix: &str) -> Result<Scale, QuantityError> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok(Scale::Ten(*exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok(Scale::Two(*exponent));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|e| e.parse::<i32>().ok());
    exponent.map(|e| Scale::Ten(e, Format::DecimalExponent)).ok_or(QuantityError::Suffix)
}

/// `value / 10^digits`, away from zero.
fn shrink(value: i128, digits: u32) -> i128 {
    match 10i128.checked_pow(digits) {
        Some(divisor) => value / divisor + if value % divisor == 0 { 0 } else { value.signum() },
        None => value.signum(),
    }
}

fn grow(value: i128, digits: u32) -> Option<i128> {
    if value == 0 { Some(0) } else { value.checked_mul(10i128.checked_pow(digits)?) }
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        let parts = split(text)?;
        let scale = scale(parts.suffix)?;
        let shifted = |p: &Parts| -> Result<i128, QuantityError> {
            let mut value = 0i128;
            for digit in p.whole.bytes().chain(p.fraction.bytes()) {
                let next = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0')));
                value = next.ok_or(QuantityError::Numeric)?;
            }
            Ok(if p.negative { -value } else { value })
        };
        let value = shifted(&parts)?;
        let point = i32::try_from(parts.fraction.len()).map_err(|_| QuantityError::Numeric)?;
        match scale {
            Scale::Ten(exponent, format) => Ok(Self::decimal(text, &parts, value, exponent, point, format)),
            Scale::Two(power) => Self::binary(text, &parts, value, power, point),
        }
    }

    fn decimal(text: &str, parts: &Parts, value: i128, exponent: i32, point: i32, format: Format) -> Quantity {
        let digits = (parts.whole.len() + parts.fraction.len()) as i64;
        let exponent = exponent.saturating_sub(point);
        let first = if parts.whole == "0" { b'0' } else { b'1' };
        let ends_in_zeros = || {
            let all = [parts.whole, parts.fraction].concat();
            all.ends_with("000")
        };
        let fast = digits <= INT64_DIGITS && exponent >= NANO;
        let kept = text == "0" || (fast && exponent % 3 == 0 && first != b'0' && !ends_in_zeros());
        let written = kept.then(|| text.into());
        if exponent >= NANO {
            return Quantity { value, exponent, format, written };
        }
        let value = shrink(value, exponent.abs_diff(NANO));
        Quantity { value, exponent: NANO, format, written: None }
    }

    fn binary(text: &str, parts: &Parts, value: i128, power: u32, point: i32) -> Result<Quantity, QuantityError> {
        // The same estimate of the room left in 64 bits that upstream makes decides whether the text is kept.
        #[allow(clippy::cast_possible_truncation, reason = "upstream truncates 3/10 of at most 60")]
        let room = 15 - parts.whole.len() as i64 - (f64::from(power) * 3.0 / 10.0) as i64 - 1;
        let kept = room >= 0 && parts.fraction.is_empty() && value & 7 != 0;
        let scaled = value.checked_mul(1i128 << power);
        if parts.fraction.is_empty() {
            let most = i128::from(i64::MAX);
            let value = scaled.unwrap_or(most * value.signum()).clamp(-most, most);
            let written = kept.then(|| text.into());
            return Ok(Quantity { value, exponent: 0, format: Format::BinarySi, written });
        }
        let value = scaled.ok_or(QuantityError::Numeric)?;
        let (value, exponent) =
            if -point >= NANO { (value, -point) } else { (shrink(value, point.abs_diff(-NANO)), NANO) };
        let mut quantity = Quantity { value, exponent, format: Format::BinarySi, written: None };
        let most = Quantity::from_int(i64::MAX, Format::BinarySi);
        if quantity.magnitude() > most {
            quantity = Quantity { value: most.value * quantity.value.signum(), ..most };
        }
        if quantity.value != 0 && quantity.magnitude() < Quantity::from_int(1, Format::DecimalSi) {
            quantity.format = Format::DecimalSi;
        }
        Ok(quantity)
    }

    /// A whole number of units.
    #[must_use]
    pub fn from_int(value: i64, format: Format) -> Quantity {
        Quantity { value: value.into(), exponent: 0, format, written: None }
    }

    /// A whole number of thousandths.
    #[must_use]
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity { value: value.into(), exponent: -3, format, written: None }
    }

    /// Zero, written `0`.
    #[must_use]
    pub fn zero() -> Quantity {
        Quantity::from_int(0, Format::DecimalSi)
    }

    /// How the amount is written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    fn magnitude(&self) -> Quantity {
        Quantity { value: self.value.abs(), exponent: self.exponent, format: self.format, written: None }
    }

    /// Whether the amount is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.value == 0
    }

    /// -1, 0 or 1.
    #[must_use]
    pub fn sign(&self) -> i32 {
        self.value.signum() as i32
    }

    /// The amount in units of `10^exponent`, rounded away from zero, at the ends of 64 bits when beyond.
    #[must_use]
    pub fn scaled(&self, exponent: i32) -> i64 {
        let difference = exponent.abs_diff(self.exponent);
        let whole = if self.exponent < exponent {
            shrink(self.value, difference)
        } else {
            grow(self.value, difference).unwrap_or(i128::MAX * self.value.signum())
        };
        whole.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// The amount in whole units, rounded up.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The amount in thousandths, rounded up.
    #[must_use]
    pub fn milli(&self) -> i64 {
        self.scaled(-3)
    }

    /// The amount as a float, near enough for ratios.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an approximation is asked for")]
    pub fn approximate(&self) -> f64 {
        self.value as f64 * 10f64.powi(self.exponent)
    }

    /// Both values at one exponent, where that fits.
    fn aligned(&self, other: &Quantity) -> Option<(i128, i128, i32)> {
        let exponent = match (self.value, other.value) {
            (0, _) => other.exponent,
            (_, 0) => self.exponent,
            _ => self.exponent.min(other.exponent),
        };
        let left = grow(self.value, self.exponent.abs_diff(exponent))?;
        let right = grow(other.value, other.exponent.abs_diff(exponent))?;
        Some((left, right, exponent))
    }

    fn combine(&self, other: &Quantity, with: fn(i128, i128) -> Option<i128>) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        let sum = self.aligned(other).and_then(|(l, r, exponent)| Some((with(l, r)?, exponent)));
        // Beyond 38 digits the smaller part is lost in the larger one.
        let (value, exponent) = sum.unwrap_or_else(|| {
            if self.magnitude() >= other.magnitude() {
                (self.value, self.exponent)
            } else {
                (with(0, other.value).unwrap_or(i128::MAX), other.exponent)
            }
        });
        Quantity { value, exponent, format, written: None }
    }

    /// The sum, in the format of the left side unless that is zero.
    #[must_use]
    pub fn plus(&self, other: &Quantity) -> Quantity {
        self.combine(other, i128::checked_add)
    }

    /// The difference, in the format of the left side unless that is zero.
    #[must_use]
    pub fn minus(&self, other: &Quantity) -> Quantity {
        self.combine(other, i128::checked_sub)
    }

    /// The product with a whole number; at the end of the range when beyond.
    #[must_use]
    pub fn times(&self, factor: i64) -> Quantity {
        let product = self.value.checked_mul(factor.into());
        let value = product.unwrap_or(i128::MAX * self.value.signum() * i128::from(factor.signum()));
        Quantity { value, exponent: self.exponent, format: self.format, written: None }
    }

    /// The canonical text of a text, as it is stored.
    ///
    /// # Errors
    /// As [`Quantity::parse`].
    pub fn canonical(text: &str) -> Result<String, QuantityError> {
        Quantity::parse(text).map(|q| q.to_string())
    }

    fn write_binary(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        let difference = self.exponent.unsigned_abs();
        let mut value = if self.exponent >= 0 {
            grow(self.value, difference)?
        } else {
            let divisor = 10i128.checked_pow(difference)?;
            (self.value % divisor == 0).then_some(self.value / divisor)?
        };
        if value.abs() < 1024 {
            return None;
        }
        let mut power = 0u32;
        while value % 1024 == 0 {
            value /= 1024;
            power += 10;
        }
        let suffix = BINARY.iter().find(|(_, p)| *p == power).map_or("", |(name, _)| name);
        Some(write!(f, "{value}{suffix}"))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(written) = &self.written {
            return f.write_str(written);
        }
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi
            && let Some(done) = self.write_binary(f)
        {
            return done;
        }
        let (mut value, mut exponent) = (self.value, self.exponent);
        while value % 10 == 0 {
            value /= 10;
            exponent += 1;
        }
        while exponent % 3 != 0 {
            value = value.saturating_mul(10);
            exponent -= 1;
        }
        match self.format {
            Format::DecimalExponent if exponent == 0 => write!(f, "{value}"),
            Format::DecimalExponent => write!(f, "{value}e{exponent}"),
            Format::BinarySi | Format::DecimalSi => {
                // Upstream has no suffix beyond E either and then writes none.
                let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(name, _)| name);
                write!(f, "{value}{suffix}")
            }
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        if let Some((left, right, _)) = self.aligned(other) {
            return left.cmp(&right);
        }
        // They differ by more than 38 digits: signs and sizes decide.
        match self.value.signum().cmp(&other.value.signum()) {
            Ordering::Equal if self.value < 0 => other.exponent.cmp(&self.exponent),
            Ordering::Equal => self.exponent.cmp(&other.exponent),
            unequal => unequal,
        }
    }
}

#[cfg(test)]
mod tests;
