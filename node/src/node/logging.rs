//! Log lines: for people or as JSON, to standard error.

use std::io::{self, Write};
use std::sync::OnceLock;

use aegis_config::{LogFormat, TelemetrySection};
use anyhow::Context as _;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging. Called twice in one process, the first call's form stays.
///
/// # Errors
/// When the configured level cannot be read.
pub fn start(telemetry: &TelemetrySection) -> anyhow::Result<()> {
    let filter = filter(telemetry)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(beside_bars).with_target(true);
    let started = match telemetry.log_format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init(),
        LogFormat::Json => lines.json().finish().try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(())
}

/// Bars on standard error, which step aside for log lines.
pub fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Standard error, beside the bars that are drawn there.
struct BesideBars;

fn beside_bars() -> BesideBars {
    BesideBars
}

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Which lines are written.
///
/// # Errors
/// When the configured level cannot be read.
pub fn filter(telemetry: &TelemetrySection) -> anyhow::Result<EnvFilter> {
    let level = &telemetry.log_level;
    // The Tor client speaks to its developers, also at warnings, and what an operator has to know is said by this node.
    let quiet = if level.contains("tor_") { level.clone() } else { format!("{level},tor_=error") };
    EnvFilter::try_new(quiet).with_context(|| {
        format!(
            "telemetry.log_level `{}` cannot be read; use error, warn, info, debug or trace, or per module as in \"info,aegis_p2p=debug\"",
            telemetry.log_level
        )
    })
}
