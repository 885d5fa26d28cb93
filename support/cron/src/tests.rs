use proptest::prelude::*;

use super::*;

fn check(text: &str) -> Result<(), String> {
    Schedule::parse(text).map(drop)
}

#[test]
fn schedules() {
    for good in [
        "* * * * *",
        "*/5 0-6,12 1 JAN-mar sun",
        "0 0 ? * 5/2",
        "@hourly",
        "@every 1h30m",
        "TZ=UTC 0 0 1 1 *",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for (wrong, why) in [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("", "expected exactly 5 fields, found 0: []"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        (
            "5-1 * * * *",
            "beginning of range (5) beyond end of range (1): 5-1",
        ),
        (
            "*/0 * * * *",
            "step of range should be a positive number: */0",
        ),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        (
            "x * * * *",
            "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        ("@never", "unrecognized descriptor: @never"),
    ] {
        assert_eq!(check(wrong), Err(why.to_owned()), "{wrong}");
    }
    assert!(check("@every x").is_err());
    assert!(check("TZ=Nowhere/At_All * * * * *").is_err());
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "[-*/?,0-9a-zA-Z=@µ. ]{0,40}") {
        let now = "2026-01-01T00:00:00Z".parse().expect("it is a time");
            if let Ok(schedule) = Schedule::parse(&text)
                && let Some(next) = schedule.after(now, &TimeZone::UTC)
            {
                prop_assert!(next > now);
            }
    }
}

#[test]
fn what_comes_next() {
    let next = |schedule: &str, zone: &str, times: &[&str]| {
        let schedule = Schedule::parse(schedule).expect("it is a schedule");
        let zone = TimeZone::get(zone).expect("there is such a zone");
        for pair in times.windows(2) {
            let time = pair[0].parse().expect("it is a time");
            let found = schedule.after(time, &zone);
            let expect = pair[1].parse::<Timestamp>().ok();
            assert_eq!(found, expect, "{schedule:?} after {time}");
        }
    };
    let utc = "UTC";
    next(
        "*/15 * * * *",
        utc,
        &[
            "2026-01-01T00:00:01.5Z",
            "2026-01-01T00:15:00Z",
            "2026-01-01T00:30:00Z",
        ],
    );
    next(
        "30 6 * * mon-fri",
        utc,
        &[
            "2026-01-02T06:30:00Z",
            "2026-01-05T06:30:00Z",
            "2026-01-06T06:30:00Z",
        ],
    );
    // Either of two days, if both are restricted.
    next(
        "0 0 13 * fri",
        utc,
        &[
            "2026-01-01T00:00:00Z",
            "2026-01-02T00:00:00Z",
            "2026-01-09T00:00:00Z",
            "2026-01-13T00:00:00Z",
            "2026-01-16T00:00:00Z",
        ],
    );
    next(
        "0 0 29 2 *",
        utc,
        &["2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"],
    );
    next("0 0 30 2 *", utc, &["2026-01-01T00:00:00Z", "never"]);
    next(
        "@monthly",
        utc,
        &["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"],
    );
    next(
        "@every 90s",
        utc,
        &[
            "2026-01-01T00:00:00.7Z",
            "2026-01-01T00:01:30Z",
            "2026-01-01T00:03:00Z",
        ],
    );
    // An hour that a spring day does not have is passed over; one that an autumn day has twice
    // counts twice.
    let berlin = "Europe/Berlin";
    next(
        "30 2 * * *",
        berlin,
        &["2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"],
    );
    next(
        "30 2 * * *",
        berlin,
        &[
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
        ],
    );
    next(
        "TZ=Europe/Berlin 0 12 * * *",
        utc,
        &["2026-01-01T00:00:00Z", "2026-01-01T11:00:00Z"],
    );
}

#[test]
fn what_came_last() {
    let check = |schedule: &str, since: &str, now: &str, expect: &str| {
        let time = |text: &str| text.parse::<Timestamp>();
        let schedule = Schedule::parse(schedule).expect("it is a schedule");
        let (since, now) = (time(since).expect("a time"), time(now).expect("a time"));
        let found = schedule.latest(since, now, &TimeZone::UTC);
        assert_eq!(found, time(expect).ok(), "{schedule:?} by {now}");
    };
    let new_year = "2026-01-01T00:00:00Z";
    check(
        "* * * * *",
        new_year,
        "2030-06-07T08:09:10Z",
        "2030-06-07T08:09:00Z",
    );
    check(
        "0 6 * * *",
        new_year,
        "2026-03-01T05:00:00Z",
        "2026-02-28T06:00:00Z",
    );
    check(
        "0 0 29 2 *",
        new_year,
        "2031-01-01T00:00:00Z",
        "2028-02-29T00:00:00Z",
    );
    check("0 6 * * *", new_year, "2026-01-01T05:59:59Z", "none");
    check(
        "@every 7m",
        new_year,
        "2026-01-01T00:20:59Z",
        "2026-01-01T00:14:00Z",
    );
    check("@every 7m", new_year, "2026-01-01T00:06:59Z", "none");
}
