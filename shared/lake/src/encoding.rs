use std::sync::Arc;

use bytes::Bytes;
use domain::Timestamp;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::Row;

/// The columns, in order, by the names that every query uses. Another version may add columns at the end.
pub(crate) const SCHEMA: &str = "
message event {
    required binary id (STRING);
    required binary source (STRING);
    required binary type (STRING);
    optional binary subject (STRING);
    required int64 time (TIMESTAMP(MILLIS,true));
    optional binary correlation_id (STRING);
    optional binary causation_id (STRING);
    required binary bus_id (STRING);
    required int64 ingested_at (TIMESTAMP(MILLIS,true));
    optional binary schema (STRING);
    required binary data (STRING);
    optional binary traceparent (STRING);
    optional binary extensions (STRING);
    optional binary origin (STRING);
}";

/// Columns of few values, or of values that come back with every event of an order: stored once in each row group.
const REPEATED: [&str; 8] =
    ["source", "type", "subject", "correlation_id", "schema", "traceparent", "extensions", "origin"];
/// By what rows are sorted, as places among the columns: `type`, `time`, `id`.
const SORTED_BY: [i32; 3] = [2, 4, 0];
/// zstd's own default. A higher level saves little and takes twice the time.
const ZSTD_LEVEL: i32 = 3;
/// An object of fewer bytes of rows is not compressed: to set zstd up for each of its columns takes longer than everything
/// else, and a batch that small is soon folded with others of its hour.
const COMPRESSED_BYTES_MIN: usize = 32 << 10;
/// How many bytes of rows a row group holds: what a reader has in memory at once. A batch that Lambda can be given
/// (6 MB) is one row group.
const ROW_GROUP_BYTES: usize = 8 << 20;
/// The name and value under which a file says by which version of this format it was written.
const FORMAT: (&str, &str) = ("orderbus.lake", "2");

/// Rows could not be written as Parquet.
#[derive(Debug, thiserror::Error)]
#[error("the rows cannot be written as Parquet")]
pub struct EncodeError(#[from] ParquetError);

/// Writes these rows as one object, sorted, each once.
///
/// # Errors
/// [`EncodeError`], which no rows are known to cause.
pub fn encode(mut rows: Vec<Row<'_>>) -> Result<Vec<u8>, EncodeError> {
    rows.sort_unstable();
    rows.dedup();
    let mut encoder = Encoder::new()?;
    for row in rows {
        encoder.push(row)?;
    }
    encoder.finish()
}

/// Writes rows that come sorted, a row group at a time.
pub struct Encoder<'a> {
    /// Made with the first row group, when it is known whether there will be more.
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    rows: Vec<Row<'a>>,
    rows_bytes: usize,
}

impl<'a> Encoder<'a> {
    /// An object without rows yet.
    ///
    /// # Errors
    /// [`EncodeError`], which nothing is known to cause.
    pub fn new() -> Result<Self, EncodeError> {
        Ok(Self { writer: None, rows: Vec::new(), rows_bytes: 0 })
    }

    /// Takes the next row, which must not sort before the one that came before it.
    ///
    /// # Errors
    /// [`EncodeError`], which no row is known to cause.
    pub fn push(&mut self, row: Row<'a>) -> Result<(), EncodeError> {
        debug_assert!(self.rows.last().is_none_or(|last| *last <= row), "rows come sorted");
        let row_bytes = row.len_bytes();
        if !self.rows.is_empty() && self.rows_bytes + row_bytes > ROW_GROUP_BYTES {
            self.flush()?;
        }
        self.rows_bytes += row_bytes;
        self.rows.push(row);
        Ok(())
    }

    /// How many bytes are written for certain; rows of the last row group are not among them.
    #[must_use]
    pub fn bytes_written(&self) -> usize {
        self.writer.as_ref().map_or(0, SerializedFileWriter::bytes_written)
    }

    /// The object.
    ///
    /// # Errors
    /// [`EncodeError`], which nothing is known to cause.
    pub fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        let is_small = self.writer.is_none() && self.rows_bytes < COMPRESSED_BYTES_MIN;
        if is_small {
            let properties = WriterProperties::clone(&*properties()?).into_builder();
            self.writer =
                Some(writer(Arc::new(properties.set_compression(Compression::UNCOMPRESSED).build()))?);
        }
        self.flush()?;
        match self.writer {
            Some(writer) => Ok(writer.into_inner()?),
            None => Ok(writer(properties()?)?.into_inner()?),
        }
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = &self.rows;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(writer(properties()?)?),
        };
        let mut group = writer.next_row_group()?;
        write_texts(&mut group, rows, |row| Some(&row.id))?;
        write_texts(&mut group, rows, |row| Some(&row.source))?;
        write_texts(&mut group, rows, |row| Some(&row.event_type))?;
        write_texts(&mut group, rows, |row| row.subject.as_deref())?;
        write_times(&mut group, rows, |row| row.time)?;
        write_texts(&mut group, rows, |row| row.correlation_id.as_deref())?;
        write_texts(&mut group, rows, |row| row.causation_id.as_deref())?;
        write_texts(&mut group, rows, |row| Some(&row.bus_id))?;
        write_times(&mut group, rows, |row| row.ingested_at)?;
        write_texts(&mut group, rows, |row| row.schema.as_deref())?;
        write_texts(&mut group, rows, |row| Some(&row.data))?;
        write_texts(&mut group, rows, |row| row.traceparent.as_deref())?;
        write_texts(&mut group, rows, |row| row.extensions.as_deref())?;
        write_texts(&mut group, rows, |row| row.origin.as_deref())?;
        group.close()?;
        self.rows.clear();
        self.rows_bytes = 0;
        Ok(())
    }
}

fn writer(properties: WriterPropertiesPtr) -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
    SerializedFileWriter::new(Vec::new(), schema()?, properties)
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn write_texts<'a>(
    group: &mut Group<'_>,
    rows: &'a [Row<'_>],
    value: impl Fn(&'a Row<'_>) -> Option<&'a str>,
) -> Result<(), ParquetError> {
    // One buffer that all values are slices of, instead of an allocation for each.
    let texts = || rows.iter().map(&value);
    let mut buffer = Vec::with_capacity(texts().flatten().map(str::len).sum());
    for text in texts().flatten() {
        buffer.extend_from_slice(text.as_bytes());
    }
    let buffer = Bytes::from(buffer);
    let mut start = 0;
    let values: Vec<ByteArray> = texts()
        .flatten()
        .map(|text| {
            let slice = buffer.slice(start..start + text.len());
            start += text.len();
            ByteArray::from(slice)
        })
        .collect();
    // Required columns have no use for these and ignore them.
    let is_there: Vec<i16> = texts().map(|text| i16::from(text.is_some())).collect();
    let mut column = next_column(group)?;
    column.typed::<ByteArrayType>().write_batch(&values, Some(&is_there), None)?;
    column.close()
}

fn write_times<'a>(
    group: &mut Group<'_>,
    rows: &'a [Row<'_>],
    value: impl Fn(&'a Row<'_>) -> Timestamp,
) -> Result<(), ParquetError> {
    let values: Vec<i64> = rows.iter().map(|row| value(row).unix_ms()).collect();
    let mut column = next_column(group)?;
    column.typed::<Int64Type>().write_batch(&values, None, None)?;
    column.close()
}

fn next_column<'a>(
    group: &'a mut Group<'_>,
) -> Result<parquet::file::writer::SerializedColumnWriter<'a>, ParquetError> {
    group
        .next_column()?
        .ok_or_else(|| ParquetError::General("the schema has fewer columns than a row".into()))
}

fn schema() -> Result<TypePtr, ParquetError> {
    Ok(Arc::new(parse_message_type(SCHEMA)?))
}

fn properties() -> Result<WriterPropertiesPtr, ParquetError> {
    let mut builder = WriterProperties::builder()
        // The library's name and version would make another object of the same rows after an upgrade. The form is the one
        // that readers look for: they warn of any other.
        .set_created_by("orderbus version 1".to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(FORMAT.0.to_owned(), FORMAT.1.to_owned())]))
        .set_sorting_columns(Some(
            SORTED_BY
                .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false })
                .into(),
        ))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        // A page is a large part of a row group of this size, so an index of pages tells little that the row group does not.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false)
        // Lengths apart from the bytes: what zstd gets is text without numbers in between.
        .set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY)
        // Nobody looks for a document by its first or last letter, and a footer is no place for personal data.
        .set_column_statistics_enabled(column("data"), EnabledStatistics::None);
    for name in REPEATED {
        builder = builder.set_column_dictionary_enabled(column(name), true);
    }
    for name in ["time", "ingested_at"] {
        builder = builder.set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(Arc::new(builder.build()))
}

fn column(name: &str) -> ColumnPath {
    ColumnPath::from(name)
}
