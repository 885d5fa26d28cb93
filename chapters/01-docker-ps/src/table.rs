//! Containers as the table that `docker ps` prints.

use bollard::models::ContainerSummary;

use crate::{duration, ports};

/// The headings, in order.
const HEADINGS: [&str; 7] = [
    "CONTAINER ID",
    "IMAGE",
    "COMMAND",
    "CREATED",
    "STATUS",
    "PORTS",
    "NAMES",
];
/// Characters of an id that are enough to tell containers apart.
const SHORT_ID_LEN: usize = 12;
/// Characters of a command before it is cut.
const COMMAND_LEN: usize = 20;
/// Spaces between columns, and the least width of one.
const PADDING: usize = 3;
const WIDTH_MIN: usize = 10;

/// How much to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whole ids, commands and names.
    pub no_trunc: bool,
    /// Ids alone, without headings.
    pub quiet: bool,
}

/// The table, a line each, ending in a newline. `now` is in seconds of Unix time.
pub fn render(containers: &[ContainerSummary], options: Options, now: i64) -> String {
    if options.quiet {
        let ids = containers
            .iter()
            .map(|container| id(container, options) + "\n");
        return ids.collect();
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(
        containers
            .iter()
            .map(|container| row(container, options, now)),
    );
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            let longest = rows.iter().map(|row| row[column].chars().count()).max();
            (longest.unwrap_or(0) + PADDING).max(WIDTH_MIN)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let last = row.len() - 1;
        for (column, cell) in row.iter().enumerate() {
            let width = if column == last { 0 } else { widths[column] };
            text.push_str(&format!("{cell:width$}"));
        }
        text.push('\n');
    }
    text
}

fn row(container: &ContainerSummary, options: Options, now: i64) -> [String; HEADINGS.len()] {
    let age = now - container.created.unwrap_or(now);
    [
        id(container, options),
        image(container, options),
        command(container, options),
        format!("{} ago", duration::human(age)),
        container.status.clone().unwrap_or_default(),
        ports::displayable(container.ports.as_deref().unwrap_or_default()),
        names(container, options),
    ]
}

fn id(container: &ContainerSummary, options: Options) -> String {
    let id = container.id.clone().unwrap_or_default();
    if options.no_trunc { id } else { short(&id) }
}

/// An id without its algorithm, cut short.
fn short(id: &str) -> String {
    id.rsplit(':')
        .next()
        .unwrap_or(id)
        .chars()
        .take(SHORT_ID_LEN)
        .collect()
}

/// The image as it was named, or its short id where it was named by id.
fn image(container: &ContainerSummary, options: Options) -> String {
    let image = container.image.clone().unwrap_or_default();
    let image_id = short(container.image_id.as_deref().unwrap_or_default());
    match image.as_str() {
        "" => "<no image>".into(),
        _ if !options.no_trunc && short(&image) == image_id => image_id,
        _ => image,
    }
}

/// In quotes, as Go quotes.
fn command(container: &ContainerSummary, options: Options) -> String {
    let command = container.command.clone().unwrap_or_default();
    if options.no_trunc || command.chars().count() <= COMMAND_LEN {
        return format!("{command:?}");
    }
    let cut: String = command.chars().take(COMMAND_LEN - 1).collect();
    format!("{:?}", format!("{cut}…"))
}

/// Without the slash; names under another container (old links) only when asked for.
fn names(container: &ContainerSummary, options: Options) -> String {
    let all = container
        .names
        .iter()
        .flatten()
        .map(|name| name.trim_start_matches('/'));
    let shown: Vec<&str> = all
        .filter(|name| options.no_trunc || !name.contains('/'))
        .collect();
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(number: u8, image: &str, command: &str) -> ContainerSummary {
        ContainerSummary {
            id: Some(format!("{number:x}").repeat(64)),
            image: Some(image.into()),
            image_id: Some(format!("sha256:{}", "a".repeat(64))),
            command: Some(command.into()),
            created: Some(1000),
            status: Some("Up 5 minutes".into()),
            names: Some(vec![
                format!("/web-{number}"),
                format!("/proxy/web-{number}"),
            ]),
            ..ContainerSummary::default()
        }
    }

    fn two() -> Vec<ContainerSummary> {
        let long = "/docker-entrypoint.sh nginx -g \"daemon off;\"";
        vec![
            container(1, "nginx:1.29", long),
            container(2, &"a".repeat(12), "sleep 60"),
        ]
    }

    #[test]
    fn the_table_is_dockers() {
        insta::assert_snapshot!(render(&two(), Options::default(), 1400), @r#"
        CONTAINER ID   IMAGE          COMMAND                  CREATED         STATUS         PORTS     NAMES
        111111111111   nginx:1.29     "/docker-entrypoint.…"   6 minutes ago   Up 5 minutes             web-1
        222222222222   aaaaaaaaaaaa   "sleep 60"               6 minutes ago   Up 5 minutes             web-2
        "#);
    }

    #[test]
    fn no_trunc_cuts_nothing() {
        let options = Options {
            no_trunc: true,
            ..Options::default()
        };
        let text = render(&two(), options, 1400);
        assert!(text.contains(&"1".repeat(64)), "{text}");
        assert!(text.contains("web-1,proxy/web-1"), "{text}");
    }

    #[test]
    fn quiet_prints_ids_alone_and_nobody_prints_headings() {
        let quiet = Options {
            quiet: true,
            ..Options::default()
        };
        assert_eq!(render(&two(), quiet, 1400), "111111111111\n222222222222\n");
        assert_eq!(render(&[], quiet, 1400), "");
        insta::assert_snapshot!(
            render(&[], Options::default(), 1400),
            @"CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"
        );
    }
}
