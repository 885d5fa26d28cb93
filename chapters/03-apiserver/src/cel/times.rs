//! Parts of times and durations: `getHours()`, `getFullYear('Europe/Berlin')`.
//!
//! Upstream: cel-go's `common/types/timestamp.go` and `duration.go`.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::budget::Failure;
use super::value::Val;

/// A part of a time, in UTC or in the zone that is given.
pub(super) fn part(name: &str, at: Timestamp, zone: &[Val]) -> Result<Val, Failure> {
    let zone = match zone {
        [] => TimeZone::UTC,
        [Val::Text(name)] => read_zone(name)?,
        _ => return Err(Failure::overload()),
    };
    let at = at.to_zoned(zone);
    Ok(Val::Int(match name {
        "getFullYear" => i64::from(at.year()),
        // These count from zero.
        "getMonth" => i64::from(at.month()) - 1,
        "getDayOfMonth" => i64::from(at.day()) - 1,
        "getDayOfYear" => i64::from(at.day_of_year()) - 1,
        "getDate" => i64::from(at.day()),
        "getDayOfWeek" => i64::from(at.weekday().to_sunday_zero_offset()),
        "getHours" => i64::from(at.hour()),
        "getMinutes" => i64::from(at.minute()),
        "getSeconds" => i64::from(at.second()),
        "getMilliseconds" => i64::from(at.millisecond()),
        _ => return Err(Failure::overload()),
    }))
}

/// `Europe/Berlin`, or so far from UTC: `-08:00`.
fn read_zone(name: &str) -> Result<TimeZone, Failure> {
    let unknown = || Failure::error(format!("unknown time zone {name}"));
    let Some((hours, minutes)) = name.split_once(':') else {
        return match name {
            "" | "UTC" => Ok(TimeZone::UTC),
            name => TimeZone::get(name).map_err(|_| unknown()),
        };
    };
    let number = |text: &str| text.parse::<i32>().ok().filter(|number| number.abs() < 100);
    let (hours, minutes) = number(hours).zip(number(minutes)).ok_or_else(unknown)?;
    let minutes = if name.starts_with('-') {
        -minutes
    } else {
        minutes
    };
    let seconds = (hours * 60 + minutes) * 60;
    let offset = Offset::from_seconds(seconds).map_err(|_| unknown())?;
    Ok(TimeZone::fixed(offset))
}

/// A duration, whole, in a unit.
pub(super) fn whole(name: &str, span: SignedDuration) -> Result<Val, Failure> {
    Ok(Val::Int(match name {
        "getHours" => span.as_hours(),
        "getMinutes" => span.as_mins(),
        "getSeconds" => span.as_secs(),
        "getMilliseconds" => i64::try_from(span.as_millis()).map_err(|_| Failure::overload())?,
        _ => return Err(Failure::overload()),
    }))
}
