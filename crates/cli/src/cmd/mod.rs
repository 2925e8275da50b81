//! One file a command: its arguments, and what it does.

pub(crate) mod chat;
pub(crate) mod doctor;
pub(crate) mod expose;
pub(crate) mod fetch;
pub(crate) mod ports;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod serve;

use std::io::Write as _;

use crate::exit::Failure;

const FIRST_STEPS: &str = "\
peerage connects web apps and devices directly, with one command.

To show a web app of this machine in a browser, through a link:

    peerage expose http://localhost:8080     an app that runs here
    peerage expose ./folder                  a folder of files

It prints a link. Open it in a browser, or read from it without one:

    peerage fetch LINK /path

To send a file, or words, to somebody else, both by way of a server:

    peerage receive                          prints what the other side types
    peerage chat

For links that work on other machines, run a server under a name of your own:

    peerage serve --domain example.org --tls-cert FILE --tls-key FILE
    peerage expose http://localhost:8080 --server https://example.org

If something cannot be reached, this says what and why:

    peerage doctor LINK

`peerage COMMAND --help` tells more.
";

/// What `peerage` without a command says.
pub(crate) fn first_steps() -> Result<(), Failure> {
    std::io::stdout().write_all(FIRST_STEPS.as_bytes())?;
    Ok(())
}
