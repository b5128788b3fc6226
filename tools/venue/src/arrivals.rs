//! Where the requests of a live run met the recording, read back from the venue's log: what makes a backtest of that run exact.
use crate::log::ORDERS_FILE;
use serde::Deserialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tercel_sim::ClientId;
use tercel_types::TimeNs;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ArrivalsError {
    #[error("cannot read the venue's log `{path}`; run the demo with `--keep DIR` and name that folder")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}:{line}: not a line of the venue's log")]
    Line { path: PathBuf, line: usize },
}

/// One request as it arrived at the venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// MsgType (35).
    pub msg_type: String,
    /// The request's own id: ClOrdID (11) of D, F and G, OrdStatusReqID (790) of H, MassStatusReqID (584) of AF.
    pub request: ClientId,
    /// Engine time at the venue.
    pub ts: TimeNs,
    /// Recorded messages before it, as `Execution::after` counts.
    pub after: u64,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ts: i64,
    after: u64,
    #[serde(default)]
    msg_type: &'a str,
    cl_ord_id: Option<&'a str>,
    ord_status_req_id: Option<&'a str>,
    mass_status_req_id: Option<&'a str>,
}

/// Every request in the venue's log in `folder`, in order of arrival.
pub fn read_arrivals(folder: &Path) -> Result<Vec<Arrival>, ArrivalsError> {
    let path = folder.join(ORDERS_FILE);
    let text = fs::read_to_string(&path).map_err(|source| ArrivalsError::Read { path: path.clone(), source })?;
    arrivals_of(&text).map_err(|line| ArrivalsError::Line { path, line })
}

/// As `read_arrivals`, of the log's text; the error is the number of the line that is none.
pub fn arrivals_of(text: &str) -> Result<Vec<Arrival>, usize> {
    let mut arrivals = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let row: Row<'_> = serde_json::from_str(line).map_err(|_| at + 1)?;
        if row.kind != "request" {
            continue;
        }
        let id = row.ord_status_req_id.or(row.mass_status_req_id).or(row.cl_ord_id).unwrap_or("");
        arrivals.push(Arrival {
            msg_type: row.msg_type.to_owned(),
            request: ClientId::new(id.as_bytes()).ok_or(at + 1)?,
            ts: TimeNs(row.ts),
            after: row.after,
        });
    }
    Ok(arrivals)
}
