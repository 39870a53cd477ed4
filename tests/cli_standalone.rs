//! `pulsegate standalone` as its operator meets it: what it prints, what can be pasted, what survives, how it ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pulsegate");

/// A folder of one test's own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        Folder(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env_clear().stdin(Stdio::null()).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running server. Killed if the test ends early.
struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    /// What it printed until it served.
    printed: String,
    web: String,
}

impl Server {
    fn start(folder: &Folder, more: &[&str]) -> Server {
        // A shell that ignores the signal of a file that grows too large: then writing fails instead.
        let mut child = Command::new("/bin/sh")
            .args([
                "-c",
                "trap '' XFSZ; exec \"$0\" \"$@\"",
                PROGRAM,
                "standalone",
                "--data-dir",
                folder.path(),
            ])
            .args(["--set", "webServicePort=0", "--set", "brokerServicePort=0"])
            .args(more)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("journalSyncData=") {
            assert_ne!(log.read_line(&mut printed).unwrap(), 0, "it ended: {printed}");
        }
        let mut offered = BufReader::new(child.stdout.take().unwrap());
        // The last line that is offered for pasting.
        while !printed.contains("/stats") {
            assert_ne!(offered.read_line(&mut printed).unwrap(), 0, "it ended: {printed}");
        }
        let web = printed.split("http://").nth(1).unwrap().split([',', ' ', '/']).next().unwrap().to_owned();
        Server { child, log, printed, web }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the end: exit code, and what it said after it served.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }

    fn produce(&self, topic: &str, messages: &[&str]) -> Output {
        run(&[&["produce", "--server", &self.web, topic], messages].concat())
    }

    fn consume(&self, topic: &str, more: &[&str]) -> Vec<String> {
        let output = run(&[&["consume", "--server", &self.web, topic], more].concat());
        assert!(output.status.success(), "{}", err(&output));
        out(&output).lines().map(str::to_owned).collect()
    }

    fn get(&self, path: &str) -> String {
        self.request("GET", path)
    }

    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.web).unwrap();
        let more = "Host: x\r\nConnection: close\r\nContent-Length: 0";
        write!(stream, "{method} {path} HTTP/1.1\r\n{more}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
    }
}

#[test]
fn what_a_start_offers_works_and_what_was_confirmed_survives() {
    let folder = Folder::new("standalone-survives");
    let server = Server::start(&folder, &[]);
    assert!(server.printed.contains(folder.path()) && server.printed.contains("journalSyncData=true"));
    // The offered lines are commands of this program, and one curl.
    let pasted: Vec<&str> = server.printed.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(pasted.len(), 3, "{}", server.printed);
    for line in &pasted[..2] {
        let mut words: Vec<&str> = line.split(' ').skip(1).collect();
        if words[0] == "consume" {
            words.extend(["-n", "1"]);
        }
        let output = run(&words);
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {}", err(&output));
    }
    assert!(pasted[2].starts_with("curl http://"), "{}", pasted[2]);
    let stats = server.get("/admin/v2/persistent/public/default/my-topic/stats");
    assert!(stats.starts_with("HTTP/1.1 200") && stats.contains("\"msgInCounter\":1"), "{stats}");

    // A second process is refused with the number of the first.
    let second = run(&["standalone", "--data-dir", folder.path(), "--set", "webServicePort=0"]);
    let refusal = err(&second);
    assert_eq!(second.status.code(), Some(2), "{refusal}");
    assert!(refusal.contains(&format!("process {}", server.child.id())), "{refusal}");

    // Killed without warning.
    let sent = server.produce("kept", &["one", "two", "three"]);
    assert!(sent.status.success(), "{}", err(&sent));
    server.signal(Signal::KILL);
    assert_eq!(server.end().0, None);
    let server = Server::start(&folder, &[]);
    assert_eq!(server.consume("kept", &["-n", "3"]), ["one", "two", "three"]);
}

#[test]
fn a_stop_saves_what_was_acknowledged_and_two_signals_at_once_are_one() {
    let folder = Folder::new("standalone-stop");
    let server = Server::start(&folder, &["--cores", "0", "--set", "advertisedAddress=broker.example"]);
    // Ports that the system chose are told as they are.
    let binary =
        server.printed.split("pulsar://127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap();
    let found = server.get("/lookup/v2/topic/persistent/public/default/t");
    assert!(found.contains(&format!("pulsar://broker.example:{binary}\"")), "{found}");
    let port = server.web.rsplit(':').next().unwrap();
    assert!(found.contains(&format!("http://broker.example:{port}\"")), "{found}");
    // The subscription is made before the messages.
    let mut waiting = Command::new(PROGRAM)
        .args(["consume", "--server", &server.web, "t", "--subscription", "s", "-n", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let made =
        |server: &Server| server.get("/admin/v2/persistent/public/default/t/subscriptions").contains("\"s\"");
    while !made(&server) {
        std::thread::yield_now();
    }
    assert!(server.produce("t", &["a", "b", "c"]).status.success());
    let mut got = String::new();
    waiting.stdout.take().unwrap().read_to_string(&mut got).unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(got, "a\nb\n");
    server.signal(Signal::TERM);
    server.signal(Signal::TERM);
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    let server = Server::start(&folder, &[]);
    assert_eq!(server.consume("t", &["-n", "1", "--subscription", "s"]), ["c"], "a and b were acknowledged");
}

#[test]
fn a_journal_that_cannot_be_written_ends_the_process_or_its_store_as_configured() {
    for (setting, expected) in [("onFatalDiskError=exit", Some(4)), ("onFatalDiskError=failStore", Some(0))] {
        let folder = Folder::new("standalone-eio");
        let server = Server::start(&folder, &["--set", setting, "--set", "stores=1"]);
        assert!(server.produce("t", &["a"]).status.success());
        assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
        let limit = Rlimit { current: Some(1024), maximum: Some(1024) };
        prlimit(Some(server.pid()), Resource::Fsize, limit).unwrap();
        let mut refused = Command::new(PROGRAM)
            .args(["produce", "--server", &server.web, "t", "b"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if expected == Some(0) {
            while !server.get("/readyz").contains("503") {
                std::thread::yield_now();
            }
            server.signal(Signal::TERM);
        }
        let (code, said) = server.end();
        assert_eq!(code, expected, "{said}");
        assert!(said.contains("journal failed while running"), "{said}");
        assert!(!refused.wait().unwrap().success(), "what is not stored is not confirmed");
        // A new start tells what is stored.
        let server = Server::start(&folder, &[]);
        assert_eq!(server.consume("t", &["-n", "1"]), ["a"]);
    }
}

/// A bit of a confirmed message flips: the start says what is damaged, what would be lost, and how to go on; with the loss
/// accepted it says what it gave up, and serves the rest.
#[test]
fn damage_stops_a_start_until_its_loss_is_accepted() {
    let folder = Folder::new("standalone-damaged");
    let server = Server::start(&folder, &["--set", "stores=1"]);
    for message in ["payload-one", "payload-two", "payload-three"] {
        assert!(server.produce("t", &[message]).status.success());
    }
    server.signal(Signal::KILL);
    server.end();
    let journal = folder.0.join("store-00/j-00000000");
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes.windows(11).position(|window| window == b"payload-two").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&journal, &bytes).unwrap();

    let refused = run(&["standalone", "--data-dir", folder.path(), "--set", "webServicePort=0"]);
    let said = err(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    for words in
        ["store-00", "j-00000000, offset ", "restore the folder", "public/default/t: 1", "nothing was"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(std::fs::read(&journal).unwrap(), bytes, "a refused start changes nothing");
    let flag = said.split_whitespace().find(|word| word.starts_with("--accept-data-loss=0:")).unwrap();
    let flag = flag.trim_end_matches(',');
    let elsewhere = format!("{flag}0");
    let refused = run(&["standalone", "--data-dir", folder.path(), &elsewhere, "--set", "webServicePort=0"]);
    assert_eq!(refused.status.code(), Some(3), "only what was named is given up");

    let server = Server::start(&folder, &[flag]);
    assert!(server.printed.contains("given up, as --accept-data-loss says"), "{}", server.printed);
    assert!(server.printed.contains("public/default/t: 1"), "{}", server.printed);
    assert_eq!(std::fs::read(folder.0.join("set-aside/store-00-1/j-00000000")).unwrap(), bytes);
    assert_eq!(server.consume("t", &["-n", "1"]), ["payload-one"]);
    assert!(server.produce("t", &["payload-four"]).status.success());
    server.signal(Signal::KILL);
    server.end();
    let server = Server::start(&folder, &[]);
    assert_eq!(
        server.consume("t", &["-n", "2"]),
        ["payload-one", "payload-four"],
        "no need to accept it twice"
    );
}

#[test]
fn each_kind_of_unusable_data_ends_with_its_own_code_and_mend() {
    let folder = Folder::new("standalone-unusable");
    let start = || run(&["standalone", "--data-dir", folder.path(), "--set", "webServicePort=0"]);
    let server = Server::start(&folder, &["--set", "stores=1"]);
    assert!(server.produce("t", &["a"]).status.success());
    server.signal(Signal::KILL);
    server.end();
    let expect = |code: i32, mend: &str| {
        let output = start();
        assert_eq!(output.status.code(), Some(code), "{}", err(&output));
        assert!(err(&output).contains(mend), "{mend}: {}", err(&output));
    };
    let path = folder.0.join("FORMAT");
    let format = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format.replace("version=1", "version=2")).unwrap();
    expect(2, "use a later one");
    std::fs::write(&path, format.replace("stores=1", "stores=2")).unwrap();
    expect(3, "restore it from a copy");
    std::fs::remove_file(&path).unwrap();
    expect(3, "restore FORMAT");
    std::fs::write(&path, &format).unwrap();
    let meta = folder.0.join("meta.redb");
    let sound = std::fs::read(&meta).unwrap();
    std::fs::write(&meta, b"something else than a database, and long enough to be looked at as one").unwrap();
    expect(3, "restore the file");
    std::fs::write(&meta, &sound).unwrap();
    let journal = folder.0.join("store-00/j-00000000");
    let sound = std::fs::read(&journal).unwrap();
    let mut later = sound.clone();
    later[4] = 2;
    let checksum = crc32c::crc32c(&later[..60]).to_le_bytes();
    later[60..64].copy_from_slice(&checksum);
    std::fs::write(&journal, &later).unwrap();
    expect(2, "use a later version");
    std::fs::write(&journal, &sound).unwrap();
    assert_eq!(
        Server::start(&folder, &[]).consume("t", &["-n", "1"]),
        ["a"],
        "nothing was changed by any of it"
    );
}

#[test]
fn settings_are_checked_and_shown_before_anything_is_made() {
    let folder = Folder::new("standalone-settings");
    for (setting, words) in [
        ("transactionCoordinatorEnabled=true", "transactionCoordinatorEnabled"),
        ("messagingProtocols=mqtt", "messagingProtocols"),
        ("maxProducerPerTopic=1", "maxProducersPerTopic"),
        ("brokerServicePort=many", "brokerServicePort"),
    ] {
        let output = run(&["standalone", "--data-dir", folder.path(), "--set", setting]);
        assert_eq!(output.status.code(), Some(2), "{setting}: {}", err(&output));
        assert!(err(&output).contains(words), "{setting}: {}", err(&output));
    }
    let shown = run(&["standalone", "--data-dir", folder.path(), "--print-config"]);
    assert!(out(&shown).contains("journalSyncData=true") && out(&shown).contains("bindAddress=127.0.0.1"));
    // The file that is shipped is taken as it is.
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/standalone.conf");
    let shown = run(&["standalone", "--config", shipped, "--print-config"]);
    assert!(out(&shown).contains("dataDir=/var/lib/pulsegate"), "{}", err(&shown));
    assert_eq!(err(&shown), "", "no key of it is without effect");
    let deviations = run(&["standalone", "--show-deviations"]);
    assert!(deviations.status.success() && out(&deviations).contains("journalSyncData"));
    assert!(!folder.0.exists(), "nothing was made");
}

/// Both checkpoints are damaged: the start says so and leads to `repair`, which says what it would do, and does it when told to.
#[test]
fn a_store_without_checkpoints_is_rebuilt_on_demand() {
    let folder = Folder::new("standalone-rebuilt");
    let server = Server::start(&folder, &["--set", "stores=1", "--cores", "0"]);
    assert!(server.produce("t", &["one", "two"]).status.success());
    let made = server.request("PUT", "/admin/v2/persistent/public/default/t/subscription/s");
    assert!(made.starts_with("HTTP/1.1 204"), "{made}");
    server.signal(Signal::KILL);
    server.end();
    let sound = run(&["repair", "--data-dir", folder.path()]);
    assert!(sound.status.success() && out(&sound).contains("store 0: sound, 1 topics"), "{}", out(&sound));
    // As a folder looks whose checkpoints rot after the journal was used again: a checkpoint that is none, and no first file.
    let store = folder.0.join("store-00");
    std::fs::write(store.join("c-0000000000000001"), b"rot").unwrap();
    let journal = store.join("j-00000000");
    let mut bytes = std::fs::read(&journal).unwrap();
    let slot = bytes.len() as u64;
    let frames: Vec<usize> =
        (0..bytes.len()).step_by(4096).filter(|at| bytes[*at..].starts_with(b"PGLF")).collect();
    for at in frames {
        let position = u64::from_le_bytes(bytes[at + 32..at + 40].try_into().unwrap()) + 7 * slot;
        bytes[at + 32..at + 40].copy_from_slice(&position.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[at..at + 60]).to_le_bytes();
        bytes[at + 60..at + 64].copy_from_slice(&checksum);
    }
    std::fs::write(&journal, &bytes).unwrap();

    let refused = run(&["standalone", "--data-dir", folder.path(), "--set", "webServicePort=0"]);
    assert_eq!(refused.status.code(), Some(3), "{}", err(&refused));
    assert!(err(&refused).contains("no checkpoint is whole") && err(&refused).contains("pulsegate repair"));
    let shown = run(&["repair", "--data-dir", folder.path()]);
    assert_eq!(shown.status.code(), Some(3), "{}", out(&shown));
    assert!(out(&shown).contains("1 topics with 2 entries in 1 ledgers, 1 subscriptions"), "{}", out(&shown));
    assert!(out(&shown).contains("nothing was changed") && std::fs::read(&journal).unwrap() == bytes);
    let done = run(&["repair", "--data-dir", folder.path(), "--rebuild"]);
    assert!(done.status.success() && out(&done).contains("1 were rebuilt"), "{} {}", out(&done), err(&done));
    assert_eq!(std::fs::read(folder.0.join("set-aside/store-00-1/j-00000000")).unwrap(), bytes);

    let server = Server::start(&folder, &["--cores", "0"]);
    let again = server.consume("t", &["-n", "2", "--subscription", "s"]);
    assert_eq!(again, ["one", "two"], "from the earliest on");
    assert!(server.produce("t", &["three"]).status.success());
    server.signal(Signal::KILL);
    server.end();
    let server = Server::start(&folder, &["--cores", "0"]);
    assert_eq!(server.consume("t", &["-n", "3"]), ["one", "two", "three"]);

    let mistyped = run(&["repair", "--data-dir", "no-such-folder"]);
    assert_eq!(mistyped.status.code(), Some(2), "{}", err(&mistyped));
    let busy = run(&["repair", "--data-dir", folder.path(), "--rebuild"]);
    assert_eq!(busy.status.code(), Some(2), "a folder in use is left alone: {}", err(&busy));
}
