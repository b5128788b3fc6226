use core::fmt::Display;

use tercel_graph::GraphError;
use thiserror::Error;

/// Why a program could not be compiled. The interpreter runs it all the same, unless the graph is invalid.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum JitError {
    #[error("the graph is not valid")]
    Graph(#[from] GraphError),
    #[error("this processor is below {level}, the level that strategies are compiled for; run with the interpreter")]
    Host { level: &'static str },
    #[error("code generation failed: {0}")]
    Backend(String),
}

impl JitError {
    pub(crate) fn backend(error: &impl Display) -> Self {
        Self::Backend(error.to_string())
    }
}
