//! Ends this process when the one that started it is gone, however that ended.

use std::io;
use std::thread;

/// From now on, the end of standard input ends this process at once, with code 1 and without a drain.
///
/// The lab starts its children so, each with a pipe whose other end it never writes to. The kernel closes that end with
/// the lab's process, even if it is killed with SIGKILL and can do nothing more. The alternative,
/// `prctl(PR_SET_PDEATHSIG)`, is tied to the thread that started the child, not to its process (PR_SET_PDEATHSIG(2const)),
/// and is set too late if the parent is gone by then; a pipe has neither trouble: whoever reads it late still reads its
/// end. Nobody else has the other end, as Rust opens pipes close-on-exec. A thread of its own waits, so that no runtime
/// that hangs or drains can be in the way.
///
/// # Errors
/// If no thread can be started.
pub fn end_with_standard_input() -> io::Result<()> {
    thread::Builder::new().name("lifeline".into()).spawn(|| {
        // An error is an end as well.
        _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(1);
    })?;
    Ok(())
}
