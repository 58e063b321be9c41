//! The small things on a message's way, one at a time.
//!
//! `cargo bench` in this folder tells how long each takes. `bench/instructions` has the same code run under callgrind and tells how many
//! instructions each is, which is the same number every time.

mod count;
mod heads;
mod messages;
mod paths;
mod slabs;
mod time;
mod tls;
mod wire;

use std::env;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        ["--paths"] => paths::all(&mut paths::Names),
        ["--count", path] => count::count(path),
        _ => time::time(),
    }
}
