//! `mainstay top`: a live view of a node in the terminal.
//!
//! Twice what the node says of itself, and what lies between: rates and quantiles of the last moment and not since the
//! start. A key shows the last requests that went badly in the place of the endpoints. Without a terminal (or with `--once` or `--json`) it is one frame, as text or as JSON.

mod figures;
mod frame;

use std::io::IsTerminal;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::admin::Client;
use crate::args::TopArgs;
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::{print, runtime};
use figures::{Figures, Sample};
use frame::Shown;

/// How long a moment is.
const EVERY: Duration = Duration::from_secs(1);
/// How often keys are looked at.
const KEYS: Duration = Duration::from_millis(50);
/// The frame without a terminal.
const WIDTH: u16 = 120;

/// `mainstay top`
pub(crate) fn command(args: &TopArgs) -> Outcome {
    let client = Client::new(args.admin.address(), args.admin.token())?;
    let live = std::io::stdout().is_terminal() && !args.once && !args.admin.json;
    runtime()?.block_on(async {
        let before = look(&client).await?;
        if live { watch(&client, before).await } else { once(&client, &before, args.admin.json).await }
    })
}

async fn look(client: &Client) -> Outcome<Sample> {
    let services = client.text("/v1/services").await?;
    let metrics = client.text("/metrics").await?;
    let services = serde_json::from_str(&services)
        .map_err(|error| Trouble::failed(format!("the node's answer is no JSON: {error}")))?;
    Ok(Sample { at: Instant::now(), services, metrics })
}

/// The last requests that went badly.
async fn unhappy(client: &Client) -> Outcome<Vec<serde_json::Value>> {
    let text = client.text("/v1/requests?unhappy=true&limit=50").await?;
    let mut found: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Trouble::failed(format!("the node's answer is no JSON: {error}")))?;
    Ok(found["records"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

async fn once(client: &Client, before: &Sample, as_json: bool) -> Outcome {
    sleep(EVERY).await;
    let figures = Figures::between(before, &look(client).await?);
    if as_json {
        let services: Vec<_> = figures.services.iter().map(figures::Service::to_json).collect();
        return print::json(&json!({ "services": services }));
    }
    let shown = Shown { endpoints_of_all: true, ..Shown::default() };
    let height = frame::height(&figures, &shown);
    print::result(text(&figures, &shown, WIDTH, height)?.trim_end())
}

/// A frame as lines of text.
fn text(figures: &Figures, shown: &Shown, width: u16, height: u16) -> Outcome<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(while_doing("drawing"))?;
    let drawn = terminal.draw(|frame| frame::draw(frame, figures, shown)).map_err(while_doing("drawing"))?;
    let cells = drawn.buffer.content();
    let line = |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    Ok(cells.chunks(width.into()).map(|row| format!("{}\n", line(row).trim_end())).collect())
}

/// The terminal, given back when this is dropped, also by a panic.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn watch(client: &Client, mut before: Sample) -> Outcome {
    let mut screen = Screen(ratatui::init());
    let (mut figures, mut shown) = (Figures::between(&before, &before), Shown::default());
    let mut due = Instant::now();
    loop {
        let showed = shown.unhappy.is_some();
        if !keys(&mut shown, figures.services.len()).map_err(while_doing("reading a key"))? {
            return Ok(());
        }
        if shown.unhappy.is_some() && !showed {
            due = Instant::now();
        }
        if Instant::now() >= due {
            due = Instant::now() + EVERY;
            match look(client).await {
                Ok(now) => {
                    figures = Figures::between(&before, &now);
                    (before, shown.trouble) = (now, None);
                    if shown.unhappy.is_some() {
                        shown.unhappy = Some(unhappy(client).await.unwrap_or_default());
                    }
                }
                // It may only be starting again.
                Err(trouble) => shown.trouble = Some(trouble.to_string()),
            }
        }
        screen.0.draw(|frame| frame::draw(frame, &figures, &shown)).map_err(while_doing("drawing"))?;
        sleep(KEYS).await;
    }
}

/// Acts on the keys that were pressed; false to leave.
fn keys(shown: &mut Shown, services: usize) -> std::io::Result<bool> {
    while event::poll(Duration::ZERO)? {
        let Event::Key(key) = event::read()? else { continue };
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
            // In this mode Ctrl-C is a key and no signal.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(false),
            KeyCode::Up | KeyCode::Char('k') => shown.chosen = shown.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => shown.chosen = (shown.chosen + 1).min(services.saturating_sub(1)),
            KeyCode::Char('e') => shown.unhappy = if shown.unhappy.is_some() { None } else { Some(Vec::new()) },
            KeyCode::Enter => shown.endpoints_of_all = !shown.endpoints_of_all,
            _ => {}
        }
    }
    Ok(true)
}
