//! `[telemetry]`

use serde::{Deserialize, Serialize};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

section! {
    /// What the node tells about itself. Prometheus reads `/metrics` at the address of the section `rpc`.
    pub struct TelemetrySection as "telemetry" {
        /// Least level of log lines: error, warn, info, debug or trace; also per module, as in "info,aegis_p2p=debug".
        log_level: String = "info".to_owned();
        /// Form of log lines: "text" or "json".
        log_format: LogFormat = LogFormat::Text;
    }
}
