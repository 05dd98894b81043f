//! The library as it is installed: what is in the files, and that every compiler takes the header.

mod common;

use std::{collections::BTreeSet, fs, process::Command};

use common::{Folder, command, compiler, prefix, program, root, succeed, text};

fn installed_header() -> String {
    fs::read_to_string(prefix().join("include/rsdaemon.h")).unwrap()
}

fn output(program: &str, arguments: &[&str]) -> String {
    text(&succeed(Command::new(program).args(arguments)).stdout)
}

fn shared() -> String {
    prefix().join("lib/librsdaemon.so").to_str().unwrap().to_owned()
}

fn archive() -> std::path::PathBuf {
    prefix().join("lib/librsdaemon.a")
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    let header = installed_header();
    let mut functions = BTreeSet::new();
    let mut in_comment = false;
    for line in header.lines() {
        in_comment |= line.contains("/*");
        let is_none = line.starts_with(['#', ' ', '_'])
            || line.starts_with("typedef")
            || line.starts_with("static inline ");
        if !in_comment && !is_none {
            if let Some((head, _)) = line.split_once('(') {
                let name = head.rsplit([' ', '*']).next().unwrap();
                functions.insert(name.to_owned());
            }
        }
        in_comment &= !line.contains("*/");
    }
    functions
}

#[test]
fn the_header_is_what_the_sources_say() {
    let generated = fs::read_to_string(env!("GENERATED_HEADER")).unwrap();
    let committed = fs::read_to_string(root().join("include/rsdaemon.h")).unwrap();
    assert!(generated == committed, "include/rsdaemon.h is out of date: make header");
    assert!(committed == installed_header());
}

#[test]
fn the_header_defines_no_name_without_its_prefix() {
    for line in installed_header().lines().filter_map(|line| line.strip_prefix("#define ")) {
        assert!(line.starts_with("RSD_") || line.starts_with("RSDAEMON_"), "{line}");
    }
}

#[test]
fn what_is_exported_is_declared_and_the_other_way_round() {
    let listing = output("nm", &["-D", "--defined-only", "--with-symbol-versions", &shared()]);
    let mut exported = BTreeSet::new();
    for line in listing.lines().filter(|line| !line.contains(" A ")) {
        let (name, version) = line.rsplit(' ').next().unwrap().split_once("@@").unwrap();
        assert_eq!(version, "RSDAEMON_0.1");
        exported.insert(name.to_owned());
    }
    assert!(exported.len() >= 11, "{exported:?}");
    assert_eq!(exported, declared());

    let listing = output("nm", &["-g", "--defined-only", archive().to_str().unwrap()]);
    let symbols = listing
        .lines()
        .filter_map(|line| Some(line.split_once(" T ").or(line.split_once(" W "))?.1.to_owned()));
    assert_eq!(symbols.collect::<BTreeSet<_>>(), declared());
}

#[test]
fn every_function_says_since_when_and_whether_threads_and_handlers_may_call_it() {
    let header = installed_header();
    for function in declared() {
        let declaration = header.match_indices(&format!("{function}(")).find_map(|(at, _)| {
            let line_start = header[..at].rfind('\n').unwrap() + 1;
            (!header[line_start..at].contains(['*', '('])
                || header[line_start..at].starts_with("const char *"))
            .then_some(line_start)
        });
        let before = &header[..declaration.unwrap()];
        let comment = &before[before.rfind("/**").unwrap()..];
        let is_alias = comment.contains("under a name that no program has for itself");
        assert!(is_alias || comment.contains("Since 0."), "{function}");
        assert!(is_alias || comment.to_lowercase().contains("thread-safe"), "{function}");
        assert!(is_alias || comment.contains("sync-signal-safe"), "{function}");
        let returns_nothing = header[declaration.unwrap()..].starts_with("void ");
        assert!(is_alias || returns_nothing || comment.contains("@return"), "{function}");
    }
}

#[test]
fn the_shared_library_needs_libc_alone_and_is_hardened() {
    let dynamic = output("readelf", &["-d", &shared()]);
    let needed: Vec<_> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert_eq!(needed.len(), 1, "{needed:?}");
    assert!(needed[0].contains("libc.so.6"));
    assert!(dynamic.contains("[librsdaemon.so.0]"), "soname");
    assert!(dynamic.contains("NODELETE") && dynamic.contains("NOW"), "{dynamic}");
    assert!(!dynamic.contains("TEXTREL") && !dynamic.contains("PATH"), "{dynamic}");
    let segments = output("readelf", &["-lW", &shared()]);
    assert!(segments.contains("GNU_RELRO"));
    let stack = segments.lines().find(|line| line.contains("GNU_STACK")).unwrap();
    assert!(!stack.contains("RWE"), "{stack}");
}

#[test]
fn every_compiler_takes_the_header_without_a_warning() {
    let folder = Folder::new();
    for (language, standard, file) in [
        ("c", "c89", "x.c"),
        ("c", "c99", "x.c"),
        ("c", "c11", "x.c"),
        ("c", "c17", "x.c"),
        ("c++", "c++17", "x.cc"),
        ("c++", "c++20", "x.cc"),
    ] {
        let source = folder.path(file);
        let uses = match (language, standard) {
            (_, "c89") => "rsd_log_string(6, \"x\"); return rsd_open_log(0);",
            ("c", _) => {
                "RSD_LOG_LIMITED(1, 60, 6, \"%d\", 1);\n\
                 if (rsd_open_log(RSD_LOG_OPTIONS(.to_stderr = 1)) == -1) rsd_log(3, \"x\");\n\
                 int c = 0; char *v[] = { 0 }, r[9]; rsd_control_request(\"s\", \"x\", r, sizeof r, 0);\n\
                 if (rsd_command(&c, v, RSD_COMMAND_OPTIONS(.daemon = RSD_OPTIONS(.pidfile = \"x\")))\n\
                     != RSD_IS_DAEMON) return 1;\n\
                 return rsd_daemonize(RSD_OPTIONS(.pidfile = \"x\", .umask = 027));"
            }
            _ => {
                "RSD_LOG_LIMITED(1, 60, 6, \"%d\", 1);\n\
                 rsd_options o = {}; o.size = sizeof o; rsd_log(3, \"x\");\n\
                 rsd_command_options d = {}; d.size = sizeof d; d.daemon = &o; int c = 0; char *v[] = { 0 };\n\
                 if (rsd_command(&c, v, &d) != RSD_IS_DAEMON) return 1;\n\
                 return rsd_daemonize(&o);"
            }
        };
        let text = format!(
            "#include <rsdaemon.h>\n#include <rsdaemon.h>\nint f(void);\nint f(void) {{ {uses} }}\n"
        );
        fs::write(&source, text).unwrap();
        succeed(compiler(language, standard).arg("-fsyntax-only").arg(&source));
    }
}

#[test]
fn version_macros_and_library_agree() {
    let folder = Folder::new();
    let output = succeed(&mut command(&program(&folder, "version")));
    let version = env!("CARGO_PKG_VERSION");
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    let number = 10_000 * parts[0] + 100 * parts[1] + parts[2];
    assert_eq!(text(&output.stdout), format!("{version} {version} {number}\n"));
}

#[test]
fn no_argument_is_deadly_and_the_library_stays_loaded() {
    let folder = Folder::new();
    let program = program(&folder, "boundary");
    succeed(command(&program).arg(shared()).current_dir(&folder));
}

#[test]
fn the_static_library_needs_no_other_and_links_beside_another_rust_one() {
    let folder = Folder::new();
    let source = folder.path("other.rs");
    let rust = "#[unsafe(no_mangle)] pub extern \"C\" fn other() -> i32 \
                { let v: Vec<String> = (0..3).map(|n| n.to_string()).collect(); v.len() as i32 }";
    fs::write(&source, rust).unwrap();
    let other = folder.path("libother.a");
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--edition=2024",
        "--crate-type=staticlib",
        "-Cpanic=abort",
        "-Copt-level=1",
        "-o",
    ]);
    succeed(rustc.arg(&other).arg(&source));

    let main = folder.path("main.c");
    let c = "#include <rsdaemon.h>\nint other(void);\n\
             int main(void) { return rsd_ready() + other() - 3; }\n";
    fs::write(&main, c).unwrap();
    for libraries in [[archive(), other.clone()], [other, archive()]] {
        let program = folder.path("main");
        succeed(compiler("c", "c11").arg(&main).args(&libraries).arg("-o").arg(&program));
        succeed(&mut command(&program));
    }

    let alone = folder.path("alone.c");
    fs::write(&alone, "#include <rsdaemon.h>\nint main(void) { return rsd_ready(); }\n").unwrap();
    let program = folder.path("alone");
    succeed(compiler("c", "c11").arg(&alone).arg(archive()).arg("-o").arg(&program));
    let needed = output("readelf", &["-d", program.to_str().unwrap()]);
    let is_plain = common::test_with() != "sanitizers";
    assert!(!is_plain || needed.matches("(NEEDED)").count() == 1, "{needed}");
}

#[test]
fn pkg_config_is_told_where_it_was_installed() {
    let file = fs::read_to_string(prefix().join("lib/pkgconfig/rsdaemon.pc")).unwrap();
    let place = prefix();
    for line in [
        format!("prefix={}", place.display()),
        format!("libdir={}/lib", place.display()),
        "includedir=${prefix}/include".to_owned(),
        format!("Version: {}", env!("CARGO_PKG_VERSION")),
        "Libs: -L${libdir} -lrsdaemon".to_owned(),
        "Cflags: -I${includedir}".to_owned(),
    ] {
        assert!(file.lines().any(|found| found == line), "{line} is not in\n{file}");
    }
}
