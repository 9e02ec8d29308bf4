//! Aligned tables and lists of fields.

use super::output::{is_terminal, printable};

/// A table with a heading. Columns of numbers are aligned to the right.
#[derive(Debug)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    /// An empty table.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { heading: heading.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// The table as lines.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().chain(std::iter::once(&self.heading));
            cells.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let is_number = |column: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(column)).peekable();
            cells.peek().is_some()
                && cells.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit()) && is_quantity(cell))
        };
        let columns: Vec<_> =
            (0..self.heading.len()).map(|column| (width(column), is_number(column))).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&columns).map(|(cell, (width, is_number))| {
                let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
                if *is_number { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
            });
            cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned() + "\n"
        };
        let heading = line(&self.heading);
        let heading = if is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            format!("\x1b[1m{}\x1b[0m\n", heading.trim_end())
        } else {
            heading
        };
        heading + &self.rows.iter().map(line).collect::<String>()
    }
}

/// Digits with a separator or unit: `12`, `0.3 ms`, `25.0 %`.
fn is_quantity(cell: &str) -> bool {
    let mut parts = cell.splitn(2, ' ');
    let number = parts.next().unwrap_or_default();
    number.chars().all(|c| c.is_ascii_digit() || c == '.') && parts.next().is_none_or(|unit| unit.len() <= 2)
}

/// Names and values, one pair a line.
#[derive(Debug, Default)]
pub struct Fields {
    pairs: Vec<(String, String)>,
}

impl Fields {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl ToString) -> Self {
        self.pairs.push((name.to_owned(), printable(&value.to_string())));
        self
    }

    /// Adds a pair if there is a value.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// The pairs as lines.
    pub fn render(&self) -> String {
        let width = self.pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        self.pairs.iter().map(|(name, value)| format!("{name:width$}{GAP}{value}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_at_the_right() {
        let mut table = Table::new(["NODE", "WEIGHT", "RTT"]);
        table.row(["a".into(), "5".into(), "0.3 ms".into()]);
        table.row(["longer".into(), "100".into(), "12.0 ms".into()]);
        let text = table.render();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.get(1), Some(&"a            5   0.3 ms"));
        assert_eq!(lines.get(2), Some(&"longer     100  12.0 ms"));
    }

    #[test]
    fn ids_that_begin_with_a_digit_stand_at_the_left() {
        let mut table = Table::new(["ID", "X"]);
        table.row(["12ab34cd".into(), "x".into()]);
        table.row(["1".into(), "y".into()]);
        assert!(table.render().contains("\n1         y\n"), "{}", table.render());
    }

    #[test]
    fn fields_line_up_and_absent_ones_are_left_out() {
        let fields = Fields::new().field("a", 1).optional("none", None::<u8>).field("long", "x");
        assert_eq!(fields.render(), "a     1\nlong  x\n");
    }
}
