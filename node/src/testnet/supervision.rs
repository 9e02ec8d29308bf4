//! Ties a node's life to the process that started it.
//!
//! `aegis testnet up` starts its nodes in process groups of their own, so that Ctrl-C at the terminal reaches only the parent,
//! which then stops the nodes in order. If the parent is killed instead, each node must end by itself: it asks the kernel
//! for SIGTERM at its parent's death (`PR_SET_PDEATHSIG`, Linux), which it then takes for any other request to stop.
//!
//! The kernel means the parent's *thread* that made the child. `testnet up` therefore starts its nodes on its main thread.

use crate::cli::Failure;

/// Makes this process stop when `parent`, which must be its parent, is gone.
///
/// # Errors
/// When the parent is gone already, or the kernel refuses.
pub fn end_with_parent(parent: i32) -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).map_err(
        |error| {
            Failure::new(format!("the kernel does not watch the process that started this node: {error}"))
        },
    )?;
    // The parent may have died before the kernel was asked.
    if is_child_of(parent) {
        #[cfg(not(target_os = "linux"))]
        poll(parent);
        Ok(())
    } else {
        Err(Failure::new("the process that started this node is gone"))
    }
}

fn is_child_of(parent: i32) -> bool {
    rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent)
}

/// Where the kernel has no such service, looks every second.
#[cfg(not(target_os = "linux"))]
fn poll(parent: i32) {
    std::thread::spawn(move || {
        while is_child_of(parent) {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::TERM);
    });
}
