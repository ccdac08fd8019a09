//! The program. Everything it does is in the library.

// A session begins with hundreds of small allocations, and the recorder frees what the relay made: with glibc's allocator
// that is a quarter of the instructions of a connection, with this one a tenth (callgrind).
#[cfg(target_os = "linux")]
use mimalloc::MiMalloc as System;
#[cfg(not(target_os = "linux"))]
use std::alloc::System;
use zeroizing_alloc::ZeroAlloc;

// What is given back is overwritten: passwords pass through buffers of libraries that do not do so themselves.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    rdpscope::cli::main()
}
