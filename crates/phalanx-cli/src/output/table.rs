//! Columns, aligned.

/// Two spaces tell columns apart.
const GAP: usize = 2;

const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// Rows of cells below a head.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; an empty cell is shown as a dash, so that columns can be told by counting.
    pub(crate) fn row<const CELLS: usize>(&mut self, cells: [String; CELLS]) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { printable(&cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// As lines, the head in bold if that is wanted.
    pub(crate) fn render(&self, bold: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (cell, width) in cells.zip(&widths) {
                line.push_str(&format!("{cell:<0$}", width + GAP));
            }
            line.truncate(line.trim_end().len());
            line
        };
        let head = line(&mut self.head.iter().copied());
        let head = if bold { format!("{BOLD}{head}{PLAIN}") } else { head };
        let mut text = head + "\n";
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
            text.push('\n');
        }
        text
    }
}

/// Others' words without what would steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_steers_the_terminal() {
        let mut table = Table::new(&["NODE", "ÆTHER"]);
        table.row(["a".to_owned(), String::new()]);
        table.row(["größer".to_owned(), "x\u{1b}[2J".to_owned()]);
        assert_eq!(table.render(false), "NODE    ÆTHER\na       -\ngrößer  x\u{fffd}[2J\n");
        assert!(table.render(true).starts_with("\u{1b}[1mNODE    ÆTHER\u{1b}[0m\na"));
    }
}
