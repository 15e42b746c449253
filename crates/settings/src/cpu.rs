//! Processor time as people write it.

use std::fmt;
use std::str::FromStr;

/// A share of processor time, in thousandths of one CPU. Reads `2`, `0.5` and `500m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu {
    /// Thousandths of one CPU: 2000 is two CPUs.
    pub millis: u32,
}

/// A text that is no share of processor time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of CPUs; write one such as 2, 0.5 or 500m")]
pub struct CpuError(String);

impl Cpu {
    /// `millis` thousandths of one CPU.
    pub const fn from_millis(millis: u32) -> Self {
        Self { millis }
    }
}

impl FromStr for Cpu {
    type Err = CpuError;

    fn from_str(text: &str) -> Result<Self, CpuError> {
        let refuse = || CpuError(text.chars().take(80).collect());
        let trimmed = text.trim();
        if let Some(millis) = trimmed.strip_suffix('m') {
            return millis.parse().map(Self::from_millis).map_err(|_| refuse());
        }
        if !trimmed.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(refuse());
        }
        let cpus: f64 = trimmed.parse().map_err(|_| refuse())?;
        let millis = (cpus * 1000.0).round();
        if !(0.0..=f64::from(u32::MAX)).contains(&millis) {
            return Err(refuse());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the range was checked
        Ok(Self::from_millis(millis as u32))
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.millis) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_parts_and_thousandths() {
        for (text, millis) in [("2", 2000), ("0.5", 500), ("500m", 500), (" 1.25 ", 1250)] {
            assert_eq!(text.parse(), Ok(Cpu { millis }), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_share() {
        for bad in ["", "two", "-1", "1e3", "NaN", "inf", "m", "99999999999"] {
            assert!(bad.parse::<Cpu>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shows_cpus() {
        assert_eq!(Cpu::from_millis(500).to_string(), "0.5");
        assert_eq!(Cpu::from_millis(2000).to_string(), "2");
    }
}
