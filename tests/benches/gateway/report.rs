//! A plain table: what was measured, and what it should be.

/// The figures of one question.
pub struct Report(&'static str, Vec<Row>);

struct Row {
    what: String,
    measured: String,
    target: String,
    verdict: &'static str,
}

impl Report {
    /// An empty table.
    pub fn new(title: &'static str) -> Self {
        Self(title, vec![])
    }

    /// A figure without a target.
    pub fn note(&mut self, what: &str, measured: String) {
        self.1.push(Row { what: what.to_owned(), measured, target: String::new(), verdict: "" });
    }

    /// A figure that should not be above `most`.
    pub fn at_most(&mut self, what: &str, value: f64, most: f64, show: impl Fn(f64) -> String) {
        let verdict = if value <= most { "met" } else { "ABOVE THE TARGET" };
        let target = format!("at most {}", show(most));
        self.1.push(Row { what: what.to_owned(), measured: show(value), target, verdict });
    }

    /// A figure that should not be below `least`.
    pub fn at_least(&mut self, what: &str, value: f64, least: f64, show: impl Fn(f64) -> String) {
        let verdict = if value >= least { "met" } else { "BELOW THE TARGET" };
        let target = format!("at least {}", show(least));
        self.1.push(Row { what: what.to_owned(), measured: show(value), target, verdict });
    }

    /// Prints the table.
    pub fn print(&self) {
        let Self(title, rows) = self;
        println!("\n{title}");
        for Row { what, measured, target, verdict } in rows {
            println!("{}", format!("  {what:<44} {measured:>26}   {target:<18} {verdict}").trim_end());
        }
    }
}

/// With two digits, as a factor.
pub fn factor(value: f64) -> String {
    format!("{value:.3} ×")
}
