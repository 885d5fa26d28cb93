//! How long pages take: `{{#takes MINUTES}}` on a page, `{{#times}}` for all of them.

use std::path::Path;

use crate::exercises::{self, Exercise};
use crate::files::{Files, SOURCE};
use crate::include::directive;

/// How long a page takes.
#[derive(Debug, PartialEq)]
pub struct Time {
    /// The page's file name.
    pub page: String,
    /// Its first heading.
    pub title: String,
    /// Minutes of reading and running.
    pub reading: u32,
    /// Minutes of its exercises and planted bugs.
    pub exercises: u32,
}

/// The times of the pages, in the order of `pages`; those that say nothing take none.
pub fn of(files: &dyn Files, pages: &[String]) -> Vec<Time> {
    let exercises = exercises::all(files);
    let time = |page: &String| {
        let text = files.read(&Path::new(SOURCE).join(page))?;
        let title = text.lines().find_map(|line| line.strip_prefix("# "))?;
        let takes = text.lines().filter_map(directive);
        let takes = takes.filter(|found| found.name == "takes");
        let sum = |minutes: &dyn Fn(&Exercise) -> u32| exercises.iter().map(minutes).sum();
        Some(Time {
            page: page.clone(),
            title: title.trim().into(),
            reading: takes
                .filter_map(|found| found.argument.parse::<u32>().ok())
                .sum(),
            exercises: sum(&|exercise| {
                if exercise.book == *page {
                    exercise.minutes
                } else {
                    0
                }
            }),
        })
    };
    pages.iter().filter_map(time).collect()
}

/// What stands on the page itself.
pub fn takes(time: &Time) -> String {
    let exercises = match time.exercises {
        0 => String::new(),
        minutes => format!(", and {} for its exercises", duration(minutes)),
    };
    format!(
        "<p class=\"takes\">This takes about {}{exercises}.</p>\n",
        duration(time.reading)
    )
}

/// The table of all pages that take time, and the sum.
pub fn table(times: &[Time]) -> String {
    let mut table = String::from("| | reading and running | exercises |\n| --- | --- | --- |\n");
    let takes = |time: &&Time| time.reading + time.exercises > 0;
    let cell = |minutes| match minutes {
        0 => String::new(),
        minutes => duration(minutes),
    };
    for time in times.iter().filter(takes) {
        let Time {
            page,
            title,
            reading,
            exercises,
        } = time;
        table += &format!(
            "| [{title}]({page}) | {} | {} |\n",
            cell(*reading),
            cell(*exercises)
        );
    }
    let reading = times.iter().map(|time| time.reading).sum();
    let exercises = times.iter().map(|time| time.exercises).sum();
    table += &format!(
        "| **all** | **{}** | **{}** |\n",
        duration(reading),
        duration(exercises)
    );
    table
}

/// `45 minutes`, `1 hour`, `2 hours 15 minutes`
fn duration(minutes: u32) -> String {
    let plural = |n: u32, unit: &str| match n {
        1 => format!("1 {unit}"),
        n => format!("{n} {unit}s"),
    };
    match (minutes / 60, minutes % 60) {
        (0, minutes) => plural(minutes, "minute"),
        (hours, 0) => plural(hours, "hour"),
        (hours, minutes) => format!("{} {}", plural(hours, "hour"), plural(minutes, "minute")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    #[test]
    fn the_sum_is_that_of_pages_and_exercises() {
        let files = Memory::new([
            ("book/src/00.md", "# Zero\n\n{{#takes 20}}\n"),
            ("book/src/01.md", "# One\n\n{{#takes 45}}\n"),
            ("book/src/glossary.md", "# Words\n"),
            (
                "exercises/01.1-a.toml",
                "title = \"A\"\nminutes = 15\nbook = \"01.md\"\n",
            ),
            (
                "exercises/bugs/01-b.toml",
                "title = \"B\"\nminutes = 30\nbook = \"01.md\"\n",
            ),
        ]);
        let times = of(&files, &["00.md", "01.md", "glossary.md"].map(String::from));
        assert_eq!(
            table(&times),
            "| | reading and running | exercises |\n| --- | --- | --- |\n\
             | [Zero](00.md) | 20 minutes |  |\n\
             | [One](01.md) | 45 minutes | 45 minutes |\n\
             | **all** | **1 hour 5 minutes** | **45 minutes** |\n"
        );
        assert_eq!(
            takes(&times[1]),
            "<p class=\"takes\">This takes about 45 minutes, and 45 minutes for its exercises.</p>\n"
        );
        assert!(takes(&times[0]).contains("about 20 minutes.</p>"));
    }
}
