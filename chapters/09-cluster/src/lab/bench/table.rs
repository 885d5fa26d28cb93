//! A table as the book shows it: one row a measurement, one column a runtime. Pure.

/// Rows in the order in which they were first met.
#[derive(Debug, Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<String>>)>,
}

impl Table {
    /// Starts another column.
    pub fn column(&mut self, name: &str) {
        self.columns.push(name.to_owned());
        for (_, cells) in &mut self.rows {
            cells.push(None);
        }
    }

    /// Fills a cell of the newest column.
    ///
    /// # Panics
    /// Before there is a column.
    pub fn cell(&mut self, row: &str, value: impl ToString) {
        let at = self.rows.iter().position(|(name, _)| name == row);
        let at = at.unwrap_or_else(|| {
            let empty = vec![None; self.columns.len()];
            self.rows.push((row.to_owned(), empty));
            self.rows.len() - 1
        });
        let cell = self.rows[at].1.last_mut();
        *cell.expect("a column was started") = Some(value.to_string());
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let head = std::iter::once("").chain(self.columns.iter().map(String::as_str));
        let mut text = line(head.collect());
        let rule = std::iter::once("---").chain(self.columns.iter().map(|_| "---:"));
        text += &line(rule.collect());
        for (name, cells) in &self.rows {
            let cells = cells.iter().map(|cell| cell.as_deref().unwrap_or("–"));
            text += &line(std::iter::once(name.as_str()).chain(cells).collect());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn what_a_column_lacks_is_a_dash() {
        let mut table = Table::default();
        table.column("embedded");
        table.cell("one pod", "18 ms");
        table.column("docker");
        table.cell("one pod", "400 ms");
        table.cell("the engine alone", "390 ms");
        insta::assert_snapshot!(table.markdown(), @r"
        |  | embedded | docker |
        | --- | ---: | ---: |
        | one pod | 18 ms | 400 ms |
        | the engine alone | – | 390 ms |
        ");
    }
}
