//! When a CronJob starts its Jobs: five fields in the form of cron, or one of its nicknames.
//!
//! ```text
//! */15 6-18 * * mon-fri      minute, hour, day of the month, month, day of the week
//! @daily                     0 0 * * *
//! @every 1h30m               whatever the clock says
//! ```
//!
//! The API server asks whether it is one ([`Schedule::parse`]), the controller what comes next
//! ([`Schedule::after`]). If both days are restricted, a day is one of the schedule's when it fits
//! one of them; if one is `*`, the other decides.
//!
//! Upstream parses with `robfig/cron`, whose errors these are.

mod field;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use field::{FIELDS, Field};

/// How far ahead the next time is looked for: `0 0 30 2 *` never comes.
const YEARS_AHEAD: i16 = 5;

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A schedule that makes sense.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// A time zone that the schedule itself names.
    zone: Option<TimeZone>,
    when: When,
}

#[derive(Debug, Clone)]
enum When {
    /// When the clock says so.
    Clock(Fields),
    /// So much after the last time.
    Every(SignedDuration),
}

#[derive(Debug, Clone)]
struct Fields {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let named = ["TZ=", "CRON_TZ="];
        let Some(rest) = named.iter().find_map(|prefix| text.strip_prefix(prefix)) else {
            let when = When::parse(text)?;
            return Ok(Schedule { zone: None, when });
        };
        let (zone, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let unknown = |_| format!("provided bad location {zone}: unknown time zone {zone}");
        Ok(Schedule {
            zone: Some(TimeZone::get(zone).map_err(unknown)?),
            when: When::parse(rest.trim())?,
        })
    }

    /// The first time after `time` by the clocks of a time zone; none in the next years.
    pub fn after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.when {
            When::Clock(fields) => fields.after(time, self.zone.as_ref().unwrap_or(zone)),
            When::Every(wait) => {
                let whole_second = Timestamp::from_second(time.as_second()).ok()?;
                whole_second.checked_add(*wait).ok()
            }
        }
    }
}

impl Schedule {
    /// The last time after `since` that has come by `now`.
    pub fn latest(&self, since: Timestamp, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let When::Every(wait) = &self.when {
            let first = self.after(since, zone).filter(|first| *first <= now)?;
            let passed = now.duration_since(first).as_secs();
            let whole = passed - passed % wait.as_secs();
            return first.checked_add(SignedDuration::from_secs(whole)).ok();
        }
        // Backwards: who comes often came lately, and years are looked through only for others.
        let windows = [1, 24, 24 * 31, 24 * 366].map(SignedDuration::from_hours);
        let starts = windows
            .into_iter()
            .filter_map(|it| now.checked_sub(it).ok());
        let mut starts = starts.filter(|start| *start > since).chain([since]);
        starts.find_map(|start| {
            let first = self.after(start, zone);
            let times = std::iter::successors(first, |time| self.after(*time, zone));
            times.take_while(|time| *time <= now).last()
        })
    }
}

impl Fields {
    fn after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minute = SignedDuration::from_mins(1);
        let mut next = start_of_minute(time, zone)?.checked_add(minute).ok()?;
        let last = next.year() + YEARS_AHEAD;
        // From one month, day, hour, minute to the next, whatever the clocks do there.
        while next.year() <= last {
            if !self.month.contains(next.month()) {
                let date = next.date().last_of_month().tomorrow().ok()?;
                next = date.to_zoned(zone.clone()).ok()?;
            } else if !self.has_day(next.date()) {
                next = next.date().tomorrow().ok()?.to_zoned(zone.clone()).ok()?;
            } else if !self.hour.contains(next.hour()) {
                let left = 60 - i64::from(next.minute());
                next = next.checked_add(SignedDuration::from_mins(left)).ok()?;
            } else if !self.minute.contains(next.minute()) {
                next = next.checked_add(minute).ok()?;
            } else {
                return Some(next.timestamp());
            }
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let by_month = self.day.contains(date.day());
        let by_week = self
            .weekday
            .contains(date.weekday().to_sunday_zero_offset());
        match self.day.is_any || self.weekday.is_any {
            true => by_month && by_week,
            false => by_month || by_week,
        }
    }
}

fn start_of_minute(time: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let zoned = time.to_zoned(zone.clone());
    let into = SignedDuration::new(i64::from(zoned.second()), zoned.subsec_nanosecond());
    zoned.checked_sub(into).ok()
}

impl When {
    fn parse(text: &str) -> Result<When, String> {
        if let Some(every) = text.strip_prefix("@every ") {
            let wait = duration(every).ok_or_else(|| {
                format!("failed to parse duration {text}: time: invalid duration {every:?}")
            })?;
            // Never more than once a second, and at whole ones.
            let seconds = wait.as_secs().max(1);
            return Ok(When::Every(SignedDuration::from_secs(seconds)));
        }
        let nickname = NICKNAMES.iter().find(|(name, _)| *name == text);
        let text = nickname.map_or(text, |(_, fields)| fields);
        if text.starts_with('@') {
            return Err(format!("unrecognized descriptor: {text}"));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "expected exactly {} fields, found {}: [{}]",
                FIELDS.len(),
                fields.len(),
                fields.join(" ")
            ));
        };
        let [of_minute, of_hour, of_day, of_month, of_weekday] = &FIELDS;
        Ok(When::Clock(Fields {
            minute: of_minute.parse(minute)?,
            hour: of_hour.parse(hour)?,
            day: of_day.parse(day)?,
            month: of_month.parse(month)?,
            weekday: of_weekday.parse(weekday)?,
        }))
    }
}

/// `1h30m`, as Go writes durations.
fn duration(text: &str) -> Option<SignedDuration> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut seconds = None;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let unit_at = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at(unit_at);
        let next = after.find(is_number).unwrap_or(after.len());
        let (unit, after) = after.split_at(next);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let sum = seconds.unwrap_or(0.0) + number.parse::<f64>().ok()? * factor;
        (rest, seconds) = (after, Some(sum));
    }
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    SignedDuration::try_from_secs_f64(seconds? * sign).ok()
}

#[cfg(test)]
mod tests;
