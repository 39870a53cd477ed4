//! Holds the house together: who may name whom, what may not be named below `shard`, where `unsafe` lives, how long a
//! file may be. [`faults`] is a pure function of path and text, so each rule is tested with a fault planted for it.

use std::path::Path;

/// Each layer and the layers it may name besides itself. Lowest first.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("config", &["base"]),
    ("auth", &["base"]),
    ("metrics", &["base"]),
    ("wire", &["base"]),
    ("store", &["base"]),
    ("session", &["base", "wire", "metrics"]),
    ("broker", &["base", "wire", "store"]),
    ("shard", BELOW_SHARD),
    ("service", &["base", "config", "auth", "metrics", "wire", "store", "session", "broker", "shard"]),
];

/// The layers that do no I/O: time, bytes and randomness are passed to them.
const BELOW_SHARD: &[&str] = &["base", "config", "auth", "metrics", "wire", "store", "session", "broker"];

/// The only files that may say `unsafe`; each must exist and need it.
const UNSAFE_FILES: &[&str] = &["src/shard/sys.rs", "src/shard/ring.rs", "src/shard/bufring.rs"];

/// Longest file, lines.
const FILE_LINES_MAX: usize = 500;

/// Generated, so as long as its source makes it.
const GENERATED: &[&str] = &["src/wire/pulsar/proto.rs"];

/// Names that no path below `shard` may contain: runtimes, cells, locks, sockets, clocks, randomness.
const FORBIDDEN_NAMES: &[&str] = &[
    "glommio",
    "io_uring",
    "tokio",
    "mio",
    "RefCell",
    "Cell",
    "UnsafeCell",
    "Mutex",
    "RwLock",
    "Condvar",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "getrandom",
];

/// Consecutive names that no path below `shard` may contain.
const FORBIDDEN_PAIRS: &[(&str, &str)] = &[
    ("std", "fs"),
    ("std", "process"),
    ("thread", "spawn"),
    ("thread", "scope"),
    ("thread", "Builder"),
    ("thread", "sleep"),
    ("thread", "park"),
    ("thread", "current"),
    ("Instant", "now"),
];

/// What is wrong with one source file, as `path:line: words`. `path` is relative to the package, with `/`.
fn faults(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX && !GENERATED.contains(&path) {
        found.push(format!("{path}:{lines}: more than {FILE_LINES_MAX} lines"));
    }
    let in_src = path.starts_with("src/");
    let tokens = tokens(&without_comments_and_strings(text));
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map_or("", |next| next.text.as_str());
        if token.text == "unsafe" && !path.starts_with("tests/") && !UNSAFE_FILES.contains(&path) {
            found.push(format!("{path}:{}: unsafe belongs in {UNSAFE_FILES:?}", token.line));
        }
        if in_src && matches!(token.text.as_str(), "todo" | "unimplemented") && next == "!" {
            found.push(format!("{path}:{}: {}! is not an implementation", token.line, token.text));
        }
    }
    if in_src {
        found.extend(unfinished_notes(path, text));
        if let Some(layer) = layer_of(path) {
            found.extend(paths(path, &tokens).iter().filter_map(|name| misnamed(path, layer, name)));
        }
    }
    found
}

/// Notes that promise work instead of doing it, comments and strings included.
fn unfinished_notes(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| ["TODO", "FIXME", "XXX"].contains(word)) {
            found.push(format!("{path}:{}: a {word} belongs in the issue tracker", index + 1));
        }
    }
    found
}

/// The layer a file lies in, for the layers that are held to the table: `app`, `lib.rs` and `main.rs` name everything.
fn layer_of(path: &str) -> Option<&'static str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let first = first.strip_suffix(".rs").unwrap_or(first);
    MAY_NAME.iter().map(|(layer, _)| *layer).find(|layer| *layer == first)
}

/// A name as resolved from one file: `crate` first when it is ours.
struct Name {
    segments: Vec<String>,
    line: usize,
}

fn misnamed(path: &str, layer: &str, name: &Name) -> Option<String> {
    let spelled = name.segments.join("::");
    let at = format!("{path}:{}: {layer} names {spelled}", name.line);
    if name.segments[0] == "crate" {
        let (_, allowed) = MAY_NAME.iter().find(|(row, _)| *row == layer)?;
        let target = name.segments.get(1).map_or("everything", String::as_str);
        return (target != layer && !allowed.contains(&target))
            .then(|| format!("{at}, but may name only {allowed:?}"));
    }
    if !BELOW_SHARD.contains(&layer) {
        return None;
    }
    let bad_name = name.segments.iter().any(|segment| FORBIDDEN_NAMES.contains(&segment.as_str()));
    let bad_pair = name.segments.windows(2).any(|pair| FORBIDDEN_PAIRS.contains(&(&pair[0], &pair[1])));
    (bad_name || bad_pair).then(|| format!("{at}, which stays in shard and above"))
}

struct Token {
    text: String,
    line: usize,
}

/// Identifiers whole, `::` whole, any other visible character alone.
fn tokens(code: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                ':' if rest.starts_with("::") => 2,
                c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                c => c.len_utf8(),
            };
            found.push(Token { text: rest[..length].to_owned(), line: index + 1 });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Every path of a file, the groups of `use` written out, `self` and `super` resolved.
fn paths(path: &str, tokens: &[Token]) -> Vec<Name> {
    let file = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut module: Vec<String> =
        std::iter::once("crate").chain(file.split('/')).map(str::to_owned).collect();
    let mut inline = Vec::new(); // depths of the braces that opened an inline module
    let (mut depth, mut at) = (0usize, 0usize);
    let mut found = Vec::new();
    while at < tokens.len() {
        let text = tokens[at].text.as_str();
        let word = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        match text {
            "mod" if word(2) == "{" => {
                inline.push(depth);
                module.push(word(1).to_owned());
                depth += 1;
                at += 3;
            }
            "{" => (depth, at) = (depth + 1, at + 1),
            "}" => {
                (depth, at) = (depth.saturating_sub(1), at + 1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
            }
            _ if is_identifier(text) => {
                let start = found.len();
                at = tree(tokens, at, &[], &mut found);
                found[start..].iter_mut().for_each(|name: &mut Name| resolve(&mut name.segments, &module));
            }
            _ => at += 1,
        }
    }
    found
}

/// Reads one path or group of paths from `at`; returns the index after it.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Name>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while let Some(member) = tokens.get(at).filter(|token| token.text != "}") {
                    at = match member.text.as_str() {
                        "as" => at + 2, // the new name names nothing
                        text if is_identifier(text) || text == "{" || text == "*" => {
                            tree(tokens, at, &segments, found)
                        }
                        _ => at + 1,
                    };
                }
                return at + 1;
            }
            text if is_identifier(text) || text == "*" => segments.push(text.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            // A lone `crate` or `super` is a visibility, not a name.
            if segments != ["crate"] && segments != ["super"] {
                found.push(Name { segments, line: token.line });
            }
            return at;
        }
        at += 1;
    }
    found.push(Name { segments, line: tokens[at.min(tokens.len()) - 1].line });
    at
}

fn resolve(segments: &mut Vec<String>, module: &[String]) {
    if segments[0] == "pulsegate" {
        segments[0] = "crate".to_owned();
    }
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    if ups > 0 || segments[0] == "self" && segments.len() > 1 {
        let own = segments.iter().take_while(|segment| ["self", "super"].contains(&segment.as_str())).count();
        let base = &module[..module.len().saturating_sub(ups).max(1)];
        segments.splice(..own, base.iter().cloned());
    }
}

fn is_identifier(text: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// The code alone: comments, strings and character literals become blanks, line ends stay.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let previous = code.chars().next_back().unwrap_or(' ');
        let length = skipped(rest, previous);
        let (gone, kept) = rest.split_at(length.max(first.len_utf8()));
        if length == 0 {
            code.push(first);
        } else {
            code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = kept;
    }
    code
}

/// How many bytes of comment, string or character literal `rest` begins with. `previous` is the character before it.
fn skipped(rest: &str, previous: char) -> usize {
    let end = |found: Option<usize>| found.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return end(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let hashes = rest.strip_prefix('r').map_or(0, |raw| raw.chars().take_while(|c| *c == '#').count());
    if rest.starts_with('r') && rest[1 + hashes..].starts_with('"') && !is_word_before_raw(previous) {
        let close = format!("\"{}", "#".repeat(hashes));
        let from = hashes + 2;
        return end(rest[from..].find(&close).map(|at| from + at + close.len()));
    }
    if let Some(literal) = rest.strip_prefix('\'') {
        // 'a' and '\n' are literals, 'a without a quote behind it is a lifetime.
        let second = literal.chars().next().map_or(0, char::len_utf8);
        if literal.starts_with('\\') || literal[second..].starts_with('\'') {
            return quoted(rest, '\'');
        }
    }
    0
}

/// `br"` and `cr"` are raw strings too; in `for"`, an identifier ends in r.
fn is_word_before_raw(previous: char) -> bool {
    (previous.is_alphanumeric() || previous == '_') && !matches!(previous, 'b' | 'c')
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// All files below `folder` whose lines are counted, as (path relative to the package, text).
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable directory entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "py") {
            let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("below the package");
            let text = std::fs::read_to_string(&path).expect("source is UTF-8");
            found.push((inside.to_str().expect("paths here are ASCII").to_owned(), text));
        }
    }
}

#[test]
fn the_house_rules_hold() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "tools", "bench"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the walk found the sources");
    let is_rust = |path: &str| path.ends_with(".rs");
    let mut found: Vec<String> = Vec::new();
    for (path, text) in &files {
        // A long script is as hard to read as a long module; the other rules are Rust's.
        let line_rule = |fault: &String| is_rust(path) || fault.ends_with("lines");
        found.extend(faults(path, text).into_iter().filter(line_rule));
    }
    let needs_unsafe = |path: &&str| {
        let text = files.iter().find(|(listed, _)| listed == path).map_or("", |(_, text)| text);
        tokens(&without_comments_and_strings(text)).iter().any(|token| token.text == "unsafe")
    };
    let idle = UNSAFE_FILES.iter().filter(|path| !needs_unsafe(path));
    found.extend(idle.map(|path| format!("{path}: listed for unsafe, but is gone or has none")));
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

/// Asserts that `text` at `path` has exactly one fault, and that its line and words contain `expected`.
#[track_caller]
fn reports(path: &str, text: &str, expected: &str) {
    let found = faults(path, text);
    assert!(
        found.len() == 1 && found[0].contains(expected),
        "{expected:?} expected for {text:?}, found {found:?}"
    );
}

#[track_caller]
fn passes(path: &str, text: &str) {
    assert_eq!(faults(path, text), Vec::<String>::new(), "{text:?} is clean");
}

#[test]
fn an_upward_name_is_reported_however_it_is_spelled() {
    reports("src/wire/ws/mod.rs", "use crate::session::Id;", ":1: wire names crate::session::Id");
    reports("src/wire/ws/mod.rs", "\nfn f() { crate::shard::run() }", ":2: wire names crate::shard::run");
    reports("src/wire/ws/encode.rs", "use super::super::super::shard;", "wire names crate::shard");
    reports("src/wire/ws/mod.rs", "use super::super::shard;", "wire names crate::shard");
    reports("src/wire/ws/mod.rs", "mod tests { use super::super::super::app; }", "wire names crate::app");
    reports("src/session/mod.rs", "use pulsegate::app;", "session names crate::app");
    reports("src/session/mod.rs", "use crate::*;", "session names crate::*");
    passes("src/wire/ws/mod.rs", "mod tests { use super::*; use super::super::http; }\npub(super) fn f() {}");
    passes("src/app/mod.rs", "use crate::service; use std::fs;");
}

#[test]
fn every_member_of_a_group_is_looked_at() {
    reports(
        "src/session/mod.rs",
        "use crate::{base::{time, prng}, service, wire};",
        "session names crate::service",
    );
    reports("src/base/mod.rs", "use super::{wire::{ws as socket}};", "base names crate::wire::ws");
    reports(
        "src/shard/mod.rs",
        "use crate::{\n  base,\n  service::Key};",
        ":3: shard names crate::service::Key",
    );
    passes("src/session/mod.rs", "use crate::{base::{self, time}, metrics, wire::ws::*};");
    assert_eq!(faults("src/base/mod.rs", "use crate::{app, wire::{ws, http}};").len(), 3);
}

#[test]
fn io_below_shard_is_reported() {
    for name in FORBIDDEN_NAMES {
        reports("src/wire/mod.rs", &format!("use other::{{{name}}};"), name);
    }
    for (first, second) in FORBIDDEN_PAIRS {
        reports("src/session/mod.rs", &format!("let a = {first}::{second}();"), second);
        passes("src/shard/mod.rs", &format!("let a = {first}::{second}();"));
    }
    reports("src/base/time.rs", "use std::{net::{IpAddr, TcpStream}};", "std::net::TcpStream");
    passes("src/base/time.rs", "use std::net::{IpAddr, SocketAddr}; use crate::base::time::Instant;");
}

#[test]
fn unsafe_is_reported_outside_its_files() {
    reports("src/wire/mod.rs", "fn f() { unsafe { g() } }", "unsafe belongs in");
    reports("tools/load/main.rs", "unsafe fn f() {}", "unsafe belongs in");
    passes(UNSAFE_FILES[0], "fn f() { unsafe { g() } }");
    passes("src/wire/mod.rs", "// unsafe\nconst WORD: &str = \"unsafe\";");
}

#[test]
fn unfinished_work_is_reported() {
    for word in ["todo", "unimplemented"] {
        reports("src/app/mod.rs", &format!("fn f() {{ {word}!() }}"), word);
    }
    for word in ["TODO", "FIXME", "XXX"] {
        reports("src/app/mod.rs", &format!("fn f() {{}} // {word}: later"), word);
    }
    passes("src/app/mod.rs", "fn todo() { unimplemented() } // XXXL");
}

#[test]
fn a_long_file_is_reported() {
    let lines = |count| "\n".repeat(count);
    reports("tests/far.rs", &lines(FILE_LINES_MAX + 1), ":501: more than 500 lines");
    passes("tests/far.rs", &lines(FILE_LINES_MAX));
    passes(GENERATED[0], &lines(FILE_LINES_MAX + 1));
}

#[test]
fn comments_and_strings_are_not_code() {
    for quiet in [
        "// crate::app",
        "/* a /* crate::app */ crate::app */",
        "let s = \"crate::app \\\" crate::app\";",
        "let s = r#\"crate::app \" crate::app\"#;",
        "let s = br\"\\\"; let t = 1; // crate::app",
        "let c = '\"'; let d = '\\''; // crate::app \"",
    ] {
        passes("src/base/mod.rs", quiet);
        reports("src/base/mod.rs", &format!("{quiet}\nuse crate::app;"), ":2: base names crate::app");
    }
    reports(
        "src/base/mod.rs",
        "fn f<'a>(s: &'a str) -> &'a str { crate::app::f(s) }",
        "base names crate::app::f",
    );
}
