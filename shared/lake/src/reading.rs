use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use domain::Timestamp;
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::Row;

/// An object is not one of the lake's, or is damaged.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not Parquet, or not all of it.
    #[error("the object cannot be read as Parquet")]
    Parquet(#[from] ParquetError),
    /// Parquet of something else.
    #[error("column {0} is missing, or is not what it should be")]
    Column(&'static str),
    /// A string is none.
    #[error("column {0} holds what is not UTF-8")]
    NotText(&'static str),
}

/// Reads all rows of an object, in order.
///
/// # Errors
/// [`DecodeError`] when it is not one of the lake's, or is damaged.
pub fn decode(object: &Bytes) -> Result<Vec<Row<'static>>, DecodeError> {
    let footer = Footer::of(object)?;
    let mut rows = Vec::with_capacity(footer.rows());
    for group in 0..footer.row_groups() {
        let range = footer.range(group);
        let part = slice(object, range.start, range.end)?;
        rows.append(&mut footer.decode_row_group(group, part)?);
    }
    Ok(rows)
}

/// What the end of an object says about the rest of it: where its row groups are and what they can hold.
#[derive(Debug, Clone)]
pub struct Footer {
    metadata: Arc<ParquetMetaData>,
}

impl Footer {
    /// How many bytes from the end of an object are enough for nearly every footer.
    pub const TAIL_BYTES: u64 = 64 << 10;

    /// The footer of an object that is here as a whole.
    ///
    /// # Errors
    /// [`DecodeError`] when the object is not Parquet.
    pub fn of(object: &Bytes) -> Result<Self, DecodeError> {
        let metadata = Arc::new(reader().parse_and_finish(object)?);
        Ok(Self { metadata })
    }

    /// The footer from the last bytes of an object; `Err` with how many bytes it takes when these are too few.
    ///
    /// # Errors
    /// [`DecodeError`] when the object is not Parquet.
    pub fn of_tail(tail: &Bytes, object_bytes: u64) -> Result<Result<Self, u64>, DecodeError> {
        let mut reader = reader();
        match reader.try_parse_sized(tail, object_bytes) {
            Ok(()) => Ok(Ok(Self { metadata: Arc::new(reader.finish()?) })),
            Err(ParquetError::NeedMoreData(needed)) => Ok(Err(needed as u64)),
            Err(error) => Err(error.into()),
        }
    }

    /// How many row groups there are.
    #[must_use]
    pub fn row_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.metadata.row_groups().iter().map(rows_of).sum()
    }

    /// Which bytes of the object a row group is.
    #[must_use]
    pub fn range(&self, group: usize) -> Range<u64> {
        let ranges = || self.metadata.row_group(group).columns().iter().map(|column| column.byte_range());
        let start = ranges().map(|(start, _)| start).min().unwrap_or_default();
        let end = ranges().map(|(start, bytes)| start.saturating_add(bytes)).max().unwrap_or_default();
        start..end
    }

    /// How many bytes the values of the largest row group take when they are unpacked.
    #[must_use]
    pub fn row_group_bytes_max(&self) -> u64 {
        let unpacked = self.metadata.row_groups().iter().map(RowGroupMetaData::total_byte_size);
        unpacked.max().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default()
    }

    /// The rows of one row group, in order; `part` is its [`Footer::range`] of the object.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not one of the lake's, or is damaged.
    pub fn decode_row_group(&self, group: usize, part: Bytes) -> Result<Vec<Row<'static>>, DecodeError> {
        let metadata = self.metadata.row_group(group);
        let part = Arc::new(Part { offset: self.range(group).start, bytes: part });
        let columns = Columns { metadata, part: &part };
        let mut ids = columns.required("id")?;
        let mut sources = columns.required("source")?;
        let mut types = columns.required("type")?;
        let mut subjects = columns.optional("subject")?;
        let mut times = columns.times("time")?;
        let mut correlation_ids = columns.optional("correlation_id")?;
        let mut causation_ids = columns.optional("causation_id")?;
        let mut bus_ids = columns.required("bus_id")?;
        let mut ingested_ats = columns.times("ingested_at")?;
        let mut schemas = columns.optional("schema")?;
        let mut data = columns.required("data")?;
        let mut traceparents = columns.optional("traceparent")?;
        let mut all_extensions = columns.optional("extensions")?;
        let mut origins = columns.optional("origin")?;
        (0..rows_of(metadata))
            .map(|_| {
                Ok(Row {
                    event_type: types.next()?,
                    time: times.next()?,
                    id: ids.next()?,
                    source: sources.next()?,
                    origin: origins.next()?,
                    ingested_at: ingested_ats.next()?,
                    bus_id: bus_ids.next()?,
                    subject: subjects.next()?,
                    correlation_id: correlation_ids.next()?,
                    causation_id: causation_ids.next()?,
                    schema: schemas.next()?,
                    traceparent: traceparents.next()?,
                    extensions: all_extensions.next()?,
                    data: data.next()?,
                })
            })
            .collect()
    }
}

fn reader() -> ParquetMetaDataReader {
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip)
}

fn rows_of(group: &RowGroupMetaData) -> usize {
    usize::try_from(group.num_rows()).unwrap_or_default()
}

/// The columns of a row group, by name.
struct Columns<'a> {
    metadata: &'a RowGroupMetaData,
    part: &'a Arc<Part>,
}

impl Columns<'_> {
    fn required(&self, name: &'static str) -> Result<Required, DecodeError> {
        self.optional(name)?.all_there().ok_or(DecodeError::Column(name))
    }

    /// A column that is missing as a whole is one that an earlier version did not have, and says nothing.
    fn optional(&self, name: &'static str) -> Result<Optional, DecodeError> {
        let Some((reader, is_optional)) = self.reader(name)? else {
            return Ok(Optional {
                name,
                values: vec![].into_iter(),
                is_there: vec![0; self.rows()].into_iter(),
            });
        };
        let ColumnReader::ByteArrayColumnReader(mut reader) = reader else {
            return Err(DecodeError::Column(name));
        };
        let (mut values, mut is_there) = (Vec::with_capacity(self.rows()), Vec::new());
        reader.read_records(self.rows(), Some(&mut is_there), None, &mut values)?;
        if !is_optional {
            is_there = vec![1; values.len()];
        }
        Ok(Optional { name, values: values.into_iter(), is_there: is_there.into_iter() })
    }

    fn times(&self, name: &'static str) -> Result<Times, DecodeError> {
        let Some((ColumnReader::Int64ColumnReader(mut reader), false)) = self.reader(name)? else {
            return Err(DecodeError::Column(name));
        };
        let mut values: Vec<<parquet::data_type::Int64Type as DataType>::T> = Vec::with_capacity(self.rows());
        reader.read_records(self.rows(), None, None, &mut values)?;
        Ok(Times { name, values: values.into_iter() })
    }

    fn rows(&self) -> usize {
        rows_of(self.metadata)
    }

    /// The reader of a column and whether values of it may be missing.
    fn reader(&self, name: &str) -> Result<Option<(ColumnReader, bool)>, DecodeError> {
        let Some(column) =
            self.metadata.columns().iter().find(|column| column.column_path().string() == name)
        else {
            return Ok(None);
        };
        let pages = SerializedPageReader::new(self.part.clone(), column, self.rows(), None)?;
        let description = column.column_descr_ptr();
        let is_optional = description.max_def_level() > 0;
        Ok(Some((get_column_reader(description, Box::new(pages)), is_optional)))
    }
}

struct Optional {
    name: &'static str,
    values: std::vec::IntoIter<ByteArray>,
    is_there: std::vec::IntoIter<i16>,
}

impl Optional {
    fn next(&mut self) -> Result<Option<Cow<'static, str>>, DecodeError> {
        match self.is_there.next().ok_or(DecodeError::Column(self.name))? {
            0 => Ok(None),
            _ => text(self.name, self.values.next()).map(Some),
        }
    }

    fn all_there(self) -> Option<Required> {
        let Self { name, values, mut is_there } = self;
        is_there.all(|is_there| is_there == 1).then_some(Required { name, values })
    }
}

struct Required {
    name: &'static str,
    values: std::vec::IntoIter<ByteArray>,
}

impl Required {
    fn next(&mut self) -> Result<Cow<'static, str>, DecodeError> {
        text(self.name, self.values.next())
    }
}

struct Times {
    name: &'static str,
    values: std::vec::IntoIter<i64>,
}

impl Times {
    fn next(&mut self) -> Result<Timestamp, DecodeError> {
        self.values.next().map(Timestamp::from_unix_ms).ok_or(DecodeError::Column(self.name))
    }
}

fn text(name: &'static str, value: Option<ByteArray>) -> Result<Cow<'static, str>, DecodeError> {
    let value = value.ok_or(DecodeError::Column(name))?;
    let text = std::str::from_utf8(value.data()).map_err(|_| DecodeError::NotText(name))?;
    Ok(Cow::Owned(text.to_owned()))
}

/// A part of an object, read by the positions of the whole.
struct Part {
    offset: u64,
    bytes: Bytes,
}

impl Part {
    fn slice(&self, start: u64, bytes: Option<usize>) -> Result<Bytes, ParquetError> {
        let start = start.checked_sub(self.offset).ok_or(ParquetError::EOF("before the row group".into()))?;
        let end = match bytes {
            Some(bytes) => start.saturating_add(bytes as u64),
            None => self.bytes.len() as u64,
        };
        slice(&self.bytes, start, end)
    }
}

fn slice(bytes: &Bytes, start: u64, end: u64) -> Result<Bytes, ParquetError> {
    let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
    if start > end || index(end) > bytes.len() {
        return Err(ParquetError::EOF("the object ends before its row group".into()));
    }
    Ok(bytes.slice(index(start)..index(end)))
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl ChunkReader for Part {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.slice(start, None)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.slice(start, Some(length))
    }
}
