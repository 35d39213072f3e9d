use std::num::ParseIntError;

use runtime::{ConfigError, variable};

/// What the function takes besides what it reads and the object that it makes, in megabytes.
const BESIDES_MEGABYTES: u32 = 128;

/// How the lake is folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long after its end an hour is left alone, for events that come late.
    pub lateness_s: u32,
    /// How long what was folded stays beside what it was folded into.
    pub grace_s: u32,
    /// How many days before now are looked back on.
    pub lookback_days: u32,
    /// About how large a folded object becomes before the next one is begun.
    pub object_bytes_max: u64,
    /// How much memory the objects that are folded at once may take, by estimate.
    pub merge_bytes_max: u64,
}

/// What this function is told by its environment.
#[derive(Debug)]
pub struct Config {
    /// `LAKE_BUCKET`.
    pub lake_bucket: String,
    /// Everything else.
    pub settings: Settings,
}

/// What is wrong with the environment. The function does not start.
#[derive(Debug, thiserror::Error)]
pub enum CompactorConfigError {
    /// Something is missing.
    #[error(transparent)]
    Variable(#[from] ConfigError),
    /// Something is no number.
    #[error("{0} is not a number")]
    NotANumber(&'static str, #[source] ParseIntError),
    /// The function does not have the memory for such large objects.
    #[error(
        "objects of {object_megabytes} MB take {needed_megabytes} MB of memory to make, and the function has {memory_megabytes} MB: \
         raise CompactorMemorySize or lower CompactionObjectMegabytes"
    )]
    TooLittleMemory {
        /// `OBJECT_MEGABYTES_MAX`.
        object_megabytes: u32,
        /// What those take.
        needed_megabytes: u64,
        /// `MEMORY_MEGABYTES`.
        memory_megabytes: u32,
    },
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// [`CompactorConfigError`] for the first that is missing or wrong.
    pub fn from_environment() -> Result<Self, CompactorConfigError> {
        Self::from_variables(variable)
    }

    fn from_variables(
        read: impl Fn(&'static str) -> Result<String, ConfigError>,
    ) -> Result<Self, CompactorConfigError> {
        let number = |name: &'static str| -> Result<u32, CompactorConfigError> {
            read(name)?.parse().map_err(|error| CompactorConfigError::NotANumber(name, error))
        };
        let (object_megabytes, merge_megabytes) =
            (number("OBJECT_MEGABYTES_MAX")?, number("MERGE_MEGABYTES_MAX")?);
        let memory_megabytes = number("MEMORY_MEGABYTES")?;
        // An object is made in memory that grows by doubling, so it may take twice its size.
        let needed_megabytes =
            u64::from(merge_megabytes) + 2 * u64::from(object_megabytes) + u64::from(BESIDES_MEGABYTES);
        if u64::from(memory_megabytes) < needed_megabytes {
            return Err(CompactorConfigError::TooLittleMemory {
                object_megabytes,
                needed_megabytes,
                memory_megabytes,
            });
        }
        Ok(Self {
            lake_bucket: read("LAKE_BUCKET")?,
            settings: Settings {
                lateness_s: number("LATENESS_SECONDS")?,
                grace_s: number("GRACE_SECONDS")?,
                lookback_days: number("LOOKBACK_DAYS")?,
                object_bytes_max: u64::from(object_megabytes) << 20,
                merge_bytes_max: u64::from(merge_megabytes) << 20,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(object_megabytes: &str, memory_megabytes: &str) -> Result<Config, String> {
        let read = |name: &'static str| {
            let value = match name {
                "LAKE_BUCKET" => "lake",
                "OBJECT_MEGABYTES_MAX" => object_megabytes,
                "MERGE_MEGABYTES_MAX" => "512",
                "MEMORY_MEGABYTES" => memory_megabytes,
                "LATENESS_SECONDS" | "GRACE_SECONDS" | "LOOKBACK_DAYS" => "1",
                _ => return Err(ConfigError::Missing(name)),
            };
            Ok(value.to_owned())
        };
        Config::from_variables(read).map_err(|error| error.to_string())
    }

    #[test]
    fn objects_that_do_not_fit_into_the_functions_memory_are_refused_with_what_to_change() {
        for (object_megabytes, memory_megabytes) in
            [("128", "1024"), ("128", "896"), ("64", "768"), ("1024", "2688")]
        {
            let settings = config(object_megabytes, memory_megabytes).unwrap().settings;
            assert_eq!(settings.object_bytes_max, object_megabytes.parse::<u64>().unwrap() << 20);
        }
        for (object_megabytes, memory_megabytes) in [("128", "895"), ("65", "768"), ("1024", "1024")] {
            assert!(
                config(object_megabytes, memory_megabytes).is_err(),
                "{object_megabytes} in {memory_megabytes}"
            );
        }
        assert_eq!(
            config("1024", "1024").unwrap_err(),
            "objects of 1024 MB take 2688 MB of memory to make, and the function has 1024 MB: \
             raise CompactorMemorySize or lower CompactionObjectMegabytes"
        );
    }
}
