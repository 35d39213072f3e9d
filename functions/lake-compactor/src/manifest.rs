use serde::{Deserialize, Serialize};

/// What was folded into what. It has no time of its own: folding the same again writes the same manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 1.
    pub version: u32,
    /// The keys of the objects that were read, sorted.
    pub inputs: Vec<String>,
    /// The keys of the objects that hold the same events, each once; their rows follow one another.
    pub outputs: Vec<String>,
    /// How many rows the outputs have.
    pub rows: u64,
    /// How many rows of the inputs were copies of others.
    pub copies: u64,
}

impl Manifest {
    /// True when this object was read, and is not itself what came of it.
    pub(crate) fn replaces(&self, key: &str) -> bool {
        self.inputs.iter().any(|input| input == key) && !self.outputs.iter().any(|output| output == key)
    }
}
