//! Times as text, in the time zone of this machine.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Start of 2020. A router's clock before this time has not been set: most clocks start at 1970 or at the
/// build date of the firmware.
const SET: u64 = 1_577_836_800;

/// The time of day after `left` has passed: `14:03:27`.
#[must_use]
pub fn time_in(left: Duration) -> String {
    // A router never waits so long that the sum overflows.
    let now = ZonedDateTime::now();
    let then = now.checked_add(left).unwrap_or(now);
    then.strftime("%H:%M:%S").to_string()
}

/// The date of an event by a router's clock: `on 2026-11-24 03:31:55 +01:00`.
#[must_use]
pub fn date(unix: u64) -> String {
    let known = i64::try_from(unix).ok().filter(|_| unix >= SET);
    match known.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(then) => {
            let then = then.to_zoned_datetime(TimeZone::system());
            format!("on {}", then.strftime("%Y-%m-%d %H:%M:%S %:z"))
        }
        None => "when its clock was not set".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_not_set_is_told_from_one_that_was() {
        assert_eq!(date(90), "when its clock was not set");
        assert_eq!(date(u64::MAX), "when its clock was not set");
        assert!(date(1_700_000_000).starts_with("on 2023-11-1"), "{}", date(1_700_000_000));
    }
}
