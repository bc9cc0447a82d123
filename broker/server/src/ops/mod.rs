//! What only an operator sees.

pub(crate) mod admin;
pub(crate) mod control;
mod http;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod opening;
pub(crate) mod operations;
pub(crate) mod process;
pub(crate) mod shutdown;
pub(crate) mod sys;
