//! The `pulsegate` program: reads the command line and runs what it asks for.

fn main() -> std::process::ExitCode {
    pulsegate::app::main()
}
