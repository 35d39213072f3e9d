use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use lake::{DecodeError, EncodeError, Encoder, Footer, Hour, Partition, Row};
use ports::{EventLake, LakeObject, LakeObjects, PortError, StoredObject};

use crate::manifest::Manifest;
use crate::plan_hour::Run;

/// How many objects are opened at once.
const IN_FLIGHT_MAX: usize = 16;
/// An object up to this size is read in one piece.
const READ_WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Why objects were not folded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// Somebody else removed an object meanwhile, having folded it. Whoever looks again sees what became of it.
    #[error("{0} is not there any more")]
    Gone(String),
    /// An object is not one of the lake's, or is damaged.
    #[error("{key} cannot be read")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        source: DecodeError,
    },
    /// The store did not answer.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No object could be made.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Folds runs into objects of about `object_bytes_max`, each event once, writes them, and says what was done. Memory
/// holds a row group of each run, and the object that is being written.
pub(crate) async fn merge<L: EventLake, O: LakeObjects>(
    lake: &L,
    objects: &O,
    hour: Hour,
    runs: Vec<Run>,
    object_bytes_max: u64,
) -> Result<Manifest, MergeError> {
    let mut inputs: Vec<String> =
        runs.iter().flat_map(|run| &run.objects).map(|object| object.key.clone()).collect();
    inputs.sort();
    let mut cursors: Vec<Cursor> = stream::iter(runs)
        .map(async |run| {
            let mut cursor = Cursor { left: run.objects.into_iter(), open: None, rows: vec![].into_iter() };
            cursor.fill(objects).await?;
            Ok::<_, MergeError>(cursor)
        })
        .buffered(IN_FLIGHT_MAX)
        .try_collect()
        .await?;

    let mut next = BinaryHeap::new();
    for (index, cursor) in cursors.iter_mut().enumerate() {
        next.extend(cursor.rows.next().map(|row| Reverse((row, index))));
    }
    let mut output = Output { lake, hour, object_bytes_max, encoder: None, keys: vec![] };
    let (mut rows, mut copies) = (0, 0);
    let mut last: Option<Row<'static>> = None;
    while let Some(Reverse((row, index))) = next.pop() {
        let cursor = &mut cursors[index];
        if cursor.rows.len() == 0 {
            cursor.fill(objects).await?;
        }
        next.extend(cursor.rows.next().map(|row| Reverse((row, index))));
        if last.as_ref().is_some_and(|last| row.is_copy_of(last)) {
            copies += 1;
            continue;
        }
        rows += 1;
        if let Some(last) = last.replace(row) {
            output.push(last).await?;
        }
    }
    if let Some(last) = last {
        output.push(last).await?;
    }
    Ok(Manifest { version: 1, inputs, outputs: output.finish().await?, rows, copies })
}

/// Where the reading of a run stands.
struct Cursor {
    left: std::vec::IntoIter<StoredObject>,
    open: Option<Open>,
    rows: std::vec::IntoIter<Row<'static>>,
}

/// An object that is being read.
struct Open {
    key: String,
    footer: Footer,
    row_group: usize,
    /// All of it, when it is small.
    whole: Option<Bytes>,
}

impl Cursor {
    /// Reads on until there are rows, or the run ends.
    async fn fill<O: LakeObjects>(&mut self, objects: &O) -> Result<(), MergeError> {
        while self.rows.len() == 0 {
            match &mut self.open {
                Some(open) if open.row_group < open.footer.row_groups() => {
                    self.rows = open.next_row_group(objects).await?.into_iter();
                }
                _ => match self.left.next() {
                    Some(object) => self.open = Some(Open::open(objects, object).await?),
                    None => return Ok(()),
                },
            }
        }
        Ok(())
    }
}

impl Open {
    async fn open<O: LakeObjects>(objects: &O, object: StoredObject) -> Result<Self, MergeError> {
        let StoredObject { key, bytes, .. } = object;
        let unreadable = |source| MergeError::Unreadable { key: key.clone(), source };
        if bytes <= READ_WHOLE_BYTES_MAX {
            let whole = read(objects, &key, None).await?;
            let footer = Footer::of(&whole).map_err(unreadable)?;
            return Ok(Self { key, footer, row_group: 0, whole: Some(whole) });
        }
        let tail =
            async |tail_bytes: u64| read(objects, &key, Some(bytes.saturating_sub(tail_bytes)..bytes)).await;
        let mut footer = Footer::of_tail(&tail(Footer::TAIL_BYTES).await?, bytes).map_err(unreadable)?;
        if let Err(needed) = footer {
            footer = Footer::of_tail(&tail(needed).await?, bytes).map_err(unreadable)?;
        }
        let too_short = || DecodeError::Column("footer");
        let footer = footer.map_err(|_| unreadable(too_short()))?;
        Ok(Self { key, footer, row_group: 0, whole: None })
    }

    async fn next_row_group<O: LakeObjects>(&mut self, objects: &O) -> Result<Vec<Row<'static>>, MergeError> {
        let range = self.footer.range(self.row_group);
        let part = match &self.whole {
            // The footer lies behind the row groups, so its object is longer than they are.
            Some(whole) => whole.slice(range.start as usize..range.end as usize),
            None => read(objects, &self.key, Some(range)).await?,
        };
        let rows = self
            .footer
            .decode_row_group(self.row_group, part)
            .map_err(|source| MergeError::Unreadable { key: self.key.clone(), source })?;
        self.row_group += 1;
        if self.row_group == self.footer.row_groups() {
            self.whole = None;
        }
        Ok(rows)
    }
}

async fn read<O: LakeObjects>(
    objects: &O,
    key: &str,
    range: Option<std::ops::Range<u64>>,
) -> Result<Bytes, MergeError> {
    objects.read(key, range).await?.ok_or_else(|| MergeError::Gone(key.to_owned()))
}

/// Where the rows go.
struct Output<'a, L> {
    lake: &'a L,
    hour: Hour,
    object_bytes_max: u64,
    encoder: Option<Encoder<'static>>,
    keys: Vec<String>,
}

impl<L: EventLake> Output<'_, L> {
    async fn push(&mut self, row: Row<'static>) -> Result<(), MergeError> {
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::new()?,
        };
        encoder.push(row)?;
        let bytes = encoder.bytes_written() as u64;
        self.encoder = Some(encoder);
        if bytes >= self.object_bytes_max {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), MergeError> {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let body = encoder.finish()?;
        let key = Partition::Events(self.hour).key(&body);
        let content_type = "application/vnd.apache.parquet";
        self.lake
            .write_once(LakeObject { key: key.clone(), body, content_type, content_encoding: None })
            .await?;
        self.keys.push(key);
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<String>, MergeError> {
        self.write().await?;
        Ok(self.keys)
    }
}
