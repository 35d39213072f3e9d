use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use event_archiver::EventArchiver;
use ports::{Commit, EventLake, LakeObject, PortError};
use runtime::Deadline;

use crate::orders::Shop;
use crate::process::{memory_mb_max, processor_time};

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many events.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// How many of them the archiver is given at once.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// What decides the events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many events happen in a second: it decides how many hours they fall into.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Write the objects into this folder, to look at them with other tools.
    #[arg(long)]
    keep: Option<std::path::PathBuf>,
}

/// What one way of keeping events comes to.
#[derive(Default)]
struct Figures {
    processor: Duration,
    wall: Duration,
    stored_bytes: usize,
    objects: usize,
}

impl Figures {
    /// Measures one batch of it.
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (processor, wall) = (processor_time(), Instant::now());
        let result = work();
        self.processor += processor_time().saturating_sub(processor);
        self.wall += wall.elapsed();
        result
    }

    fn print(&self, name: &str, events: usize, read_bytes: usize) {
        let (seconds, mb) = (self.processor.as_secs_f64(), read_bytes as f64 / 1e6);
        say(&format!(
            "{name:<28} {:>9.0} {:>8.1} {:>9.1} {:>7.2} {:>8} {:>8.1} {:>7.1}",
            events as f64 / seconds,
            mb / seconds,
            self.stored_bytes as f64 / events as f64,
            read_bytes as f64 / self.stored_bytes as f64,
            self.objects,
            seconds,
            self.wall.as_secs_f64()
        ));
    }
}

/// A lake that weighs what it is given.
struct Scales {
    weighed: Mutex<(usize, usize)>,
    keep: Option<std::path::PathBuf>,
}

impl EventLake for Scales {
    async fn write_once(&self, object: LakeObject) -> Result<Commit<()>, PortError> {
        if let Some(folder) = &self.keep {
            let path = folder.join(object.key.replace('/', "_"));
            std::fs::write(path, &object.body).map_err(|error| PortError::permanent("write", error))?;
        }
        let mut weighed =
            self.weighed.lock().map_err(|error| PortError::permanent("weigh", error.to_string()))?;
        weighed.0 += object.body.len();
        weighed.1 += 1;
        Ok(Commit::Written)
    }
}

/// Gives the archiver all events, batch after batch, and two simpler ways of keeping them the same batches.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let lake = Scales { weighed: Mutex::new((0, 0)), keep: arguments.keep.clone() };
    let archiver = EventArchiver { lake };
    let mut shop = Shop::new(arguments.seed, arguments.rate);
    let (mut parquet, mut gzip, mut zstd) = (Figures::default(), Figures::default(), Figures::default());
    let (mut events, mut read_bytes) = (0, 0);
    let begun = Instant::now();
    while events < arguments.events {
        let count = arguments.batch.min(arguments.events - events);
        let bodies = (0..count).map(|_| shop.next_message()).collect::<anyhow::Result<Vec<String>>>()?;
        events += count;
        read_bytes += bodies.iter().map(String::len).sum::<usize>();

        let lines = bodies.join("\n");
        gzip.stored_bytes += gzip.add(|| gzipped(lines.as_bytes()))?;
        zstd.stored_bytes += zstd.add(|| ::zstd::bulk::compress(lines.as_bytes(), 3))?.len();
        gzip.objects += 1;
        zstd.objects += 1;
        drop(lines);

        let batch = batch(bodies);
        let deadline = Deadline::after(Duration::from_secs(3_600));
        let answer = parquet.add(|| runtime.block_on(archiver.archive(batch, deadline)));
        ensure!(answer.batch_item_failures.is_empty(), "the archiver failed");
    }
    let weighed = archiver.lake.weighed.lock().ok().context("the scales broke")?;
    (parquet.stored_bytes, parquet.objects) = *weighed;

    say(&format!(
        "{events} events in batches of {}, {:.0} bytes each as the bus delivers them; seed {}",
        arguments.batch,
        read_bytes as f64 / events as f64,
        arguments.seed
    ));
    say("one core                      events/s  MB/s in   B/event   ratio  objects    cpu s  wall s");
    parquet.print("Parquet, zstd (archiver)", events, read_bytes);
    gzip.print("JSON Lines, gzip -6", events, read_bytes);
    zstd.print("JSON Lines, zstd -3", events, read_bytes);
    say(&format!(
        "peak memory {:.1} MB (VmHWM, of everything here); {:.0} s in all",
        memory_mb_max(),
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn gzipped(text: &[u8]) -> std::io::Result<usize> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text)?;
    Ok(encoder.finish()?.len())
}

fn batch(bodies: Vec<String>) -> SqsEvent {
    let message = |(number, body)| {
        let mut message = SqsMessage::default();
        message.message_id = Some(number);
        message.body = Some(body);
        message
    };
    let mut event = SqsEvent::default();
    event.records =
        bodies.into_iter().enumerate().map(|(number, body)| message((number.to_string(), body))).collect();
    event
}

fn say(line: &str) {
    terminal::say(line);
    // Nobody reads on, and there is nothing to clear up.
    if !terminal::is_open() {
        std::process::exit(0);
    }
}
