//! Compiles the C part, generates the C header and keeps the library loaded once it is.

use std::{env, path::PathBuf};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));

    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=cbindgen.toml");

    cc::Build::new()
        .files(["src/sys/fork_twice.c", "src/sys/spawn.c"])
        .flag("-std=c11")
        .flag("-fvisibility=hidden")
        .warnings(true)
        .extra_warnings(true)
        .compile("sys");

    // `make header` copies the generated header to include/; a test compares the two.
    let mut header = Vec::new();
    cbindgen::generate(&root)
        .expect("the C interface can be written as a header")
        .write(&mut header);
    // C89 has no // comments.
    let header = String::from_utf8(header).expect("the sources are UTF-8");
    let header = header
        .replace("#endif // __cplusplus", "#endif")
        .replace("#endif  // __cplusplus", "#endif");
    // The inline functions come last, but within the guard.
    const GUARD: &str = "#endif  /* RSDAEMON_H */\n";
    let header = header.replacen(&format!("\n{GUARD}\n"), "", 1) + "\n" + GUARD;
    std::fs::write(out.join("rsdaemon.h"), header).expect("OUT_DIR is writable");
    println!("cargo::rustc-env=GENERATED_HEADER={}", out.join("rsdaemon.h").display());

    // Signal handlers and exit handlers point into this library: it must never be unmapped.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
