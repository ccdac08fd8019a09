//! The program. Everything it does is in the library.

// A session begins with hundreds of small allocations, and the recorder frees what the relay made: with glibc's allocator
// that is a quarter of the instructions of a connection, with this one a tenth (callgrind).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rdpscope::cli::main()
}
