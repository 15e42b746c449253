//! Moments, to the millisecond, as every wire writes them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: milliseconds since 1970, UTC.
///
/// Wires write it as RFC 3339 ([RFC 3339](https://www.rfc-editor.org/rfc/rfc3339)), records as the
/// number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(u64);

/// The last moment that is written: the end of the year 9998.
const LAST: u64 = 253_370_764_799_999;

impl Moment {
    /// The moment `millis` milliseconds after 1970 began; the end of the year 9998 at the latest.
    pub const fn from_millis(millis: u64) -> Self {
        match millis > LAST {
            true => Self(LAST),
            false => Self(millis),
        }
    }

    /// Milliseconds since 1970 began.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Seconds since 1970 began.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Now, as the host's clock says.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// This moment and `duration` more.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads RFC 3339, with a zone; nothing if it is not.
    pub fn parse(text: &str) -> Option<Self> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(timestamp.as_millisecond())
            .ok()
            .map(Self::from_millis)
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::default().plus(since)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        let timestamp = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        write!(f, "{timestamp:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        let moment = Moment::from_millis(1_790_000_000_123);
        assert_eq!(moment.to_string(), "2026-09-21T14:13:20.123Z");
        assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        assert_eq!(Moment::parse("2026-09-21T16:13:20.123+02:00"), Some(moment));
        assert_eq!(Moment::parse("yesterday"), None);
    }

    #[test]
    fn no_number_is_too_large_to_be_written() {
        assert!(
            Moment::from_millis(u64::MAX)
                .to_string()
                .starts_with("9998-12-31T23:59:59")
        );
        assert_eq!(
            Moment::default().plus(Duration::MAX),
            Moment::from_millis(u64::MAX)
        );
    }
}
