//! Manual pages from the program's own definition: `rdpscope.1`, and one for each command.

use super::arguments;
use super::output::Output;
use super::{Exit, Failure};
use clap::Command;
use clap_mangen::Man;
use std::io;
use std::path::Path;

/// The program's name.
const NAME: &str = "rdpscope";

pub(super) fn run(folder: &Path, output: &Output) -> Result<Exit, Failure> {
    write(&program(), NAME, folder).map_err(|error| {
        Failure::not_done(format!(
            "cannot write the manual pages into {}: {error}; name another folder",
            folder.display()
        ))
    })?;
    output.progress(&format!("wrote the manual pages into {}", folder.display()));
    Ok(Exit::Healthy)
}

/// The program's definition, in which flags of every command and the version are handed down.
fn program() -> Command {
    let mut program = arguments::definition().disable_help_subcommand(true);
    program.build();
    program
}

/// The page of a command, and those of the commands below it.
fn write(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{name}.1")), page(command, name)?)?;
    for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    // Of the page's own name, or the pages below it could not be found by theirs.
    let man = Man::new(command.clone().name(name.to_owned()).after_help("")).title(name.to_uppercase());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    page.extend(sections(&after).bytes());
    page.extend(b".SH SEE ALSO\n");
    page.extend(see_also(command, name).bytes());
    Ok(page)
}

/// What stands below the help: a line that ends in a colon begins a section, what is indented keeps its lines.
fn sections(after: &str) -> String {
    let mut roff = String::new();
    let mut is_kept = false;
    let mut has_notes = false;
    for line in after.lines() {
        let is_title = line.ends_with(':') && !line.starts_with(' ');
        let keeps = line.starts_with(' ');
        if is_kept && !keeps {
            roff.push_str(".fi\n.RE\n");
        }
        if is_title {
            roff.push_str(&format!(".SH {}\n", line.trim_end_matches(':').to_uppercase()));
        } else if keeps && !is_kept {
            roff.push_str(".RS 4\n.nf\n");
        } else if !line.is_empty() && !keeps && !has_notes {
            roff.push_str(".SH NOTES\n");
            has_notes = true;
        }
        is_kept = keeps;
        if !is_title && !line.is_empty() {
            roff.push_str(&escaped(line.strip_prefix("  ").unwrap_or(line)));
            roff.push('\n');
        }
    }
    if is_kept {
        roff.push_str(".fi\n.RE\n");
    }
    roff
}

/// Text that roff takes as it stands: a dot or quote at a line's start would be a request.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// The pages above and below this one.
fn see_also(command: &Command, name: &str) -> String {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    let below = below.map(|below| format!("{name}-{}", below.get_name()));
    let above = name.rsplit_once('-').map(|(above, _)| above.to_owned());
    let pages = above.into_iter().chain(below).map(|page| format!(".BR {} (1)", escaped(&page)));
    pages.collect::<Vec<_>>().join(",\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines_and_sentences_become_notes() {
        let after = "Examples:\n  rdpscope probe --csv\n      > fleet.csv\n\nNothing is left.\n.dot\n\nExit codes:\n  0    done";
        let expected = ".SH EXAMPLES\n.RS 4\n.nf\nrdpscope probe \\-\\-csv\n    > fleet.csv\n.fi\n.RE\n.SH NOTES\n\
                        Nothing is left.\n\\&.dot\n.SH EXIT CODES\n.RS 4\n.nf\n0    done\n.fi\n.RE\n";
        assert_eq!(sections(after), expected);
    }

    #[test]
    fn there_is_a_page_for_every_command_that_users_see() {
        let folder = tempfile::tempdir().unwrap();
        write(&program(), NAME, folder.path()).unwrap();
        for name in ["rdpscope", "rdpscope-proxy", "rdpscope-cert-show", "rdpscope-explain"] {
            let page = std::fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap();
            assert!(page.contains(".SH NAME") && page.contains(".SH EXAMPLES"), "{name}:\n{page}");
            assert!(page.contains(".SH SEE ALSO"), "{name}");
        }
        assert!(!folder.path().join("rdpscope-man.1").exists());
    }
}
