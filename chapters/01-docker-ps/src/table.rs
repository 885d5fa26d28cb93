//! Lines of cells to a table with columns of one width. Upstream: `text/tabwriter` of Go.

/// Spaces between columns, and the least width of one.
const PADDING: usize = 3;
const WIDTH_MIN: usize = 10;

/// Aligns lines whose cells are parted by tabs. A line's last cell is not padded.
pub fn align(lines: &[String]) -> String {
    let rows: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split('\t').collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        let (_last, padded) = row.split_last().expect("a split has a part");
        for (column, cell) in padded.iter().enumerate() {
            let width = (cell.chars().count() + PADDING).max(WIDTH_MIN);
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = if column + 1 == row.len() {
                0
            } else {
                widths[column]
            };
            text.push_str(&format!("{cell:width$}"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = ["ID\tNAMES\tX", "a-long-identity\tß\t", "1\t\tx"];
        assert_eq!(
            align(&lines.map(str::to_owned)),
            "ID                NAMES     X\n\
             a-long-identity   ß         \n\
             1                           x\n"
        );
        assert_eq!(align(&[]), "");
    }
}
