use std::fmt::Display;
use std::time::{Duration, Instant};

/// Tells people what is going on, with the seconds since the start in front.
pub struct Progress {
    started: Instant,
    show: Box<dyn Fn(&str) + Send + Sync>,
}

impl Progress {
    /// Every line is handed to `show`: the program prints it, a test may keep it to itself.
    pub fn new(show: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { started: Instant::now(), show: Box::new(show) }
    }

    /// A line with the time.
    pub fn say(&self, line: impl Display) {
        (self.show)(&format!("{:>6.1} s  {line}", self.started.elapsed().as_secs_f64()));
    }

    /// Lines without the time, such as a table.
    pub fn show(&self, text: impl Display) {
        (self.show)(&text.to_string());
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
