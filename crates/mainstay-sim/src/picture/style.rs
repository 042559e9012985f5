//! How a picture looks: one set of colours on a light sheet and one on a dark one, chosen by the reader's settings.
//!
//! The first play is blue, the other one orange and dashed, what is bad is red and hatched: no meaning hangs on a colour
//! alone. Text keeps a contrast of 4.5 to 1 to its sheet and lines 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11); blue and orange
//! are told apart by nearly everybody (B. Wong: "Points of view: Color blindness", Nature Methods 8, 2011).

/// The colours of one sheet.
struct Colours {
    sheet: &'static str,
    ink: &'static str,
    soft: &'static str,
    rule: &'static str,
    first: &'static str,
    other: &'static str,
    failed: &'static str,
    refused: &'static str,
    fault: &'static str,
}

const LIGHT: Colours = Colours {
    sheet: "#ffffff",
    ink: "#1b1f24",
    soft: "#57606a",
    rule: "#d8dee4",
    first: "#0b5fb0",
    other: "#a8450a",
    failed: "#b3261e",
    refused: "#7a5c00",
    fault: "#6741b8",
};

const DARK: Colours = Colours {
    sheet: "#0f141a",
    ink: "#e6edf3",
    soft: "#9aa5b1",
    rule: "#2f3843",
    first: "#6cb2ff",
    other: "#ffa263",
    failed: "#ff8a80",
    refused: "#e3c04b",
    fault: "#b79bff",
};

/// The style sheet of a picture. Every rule is under `.play`, because a page may hold the picture among other things.
pub(super) fn sheet() -> String {
    const SHAPES: &str = "\
.play{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;font-variant-numeric:tabular-nums}
.play .name{font-size:18px;font-weight:600}
.play .head{font-weight:600}
.play .small{font-size:11px}
.play .line{fill:none;stroke-width:1.6;stroke-linejoin:round}
.play .thin{stroke-width:1;stroke-opacity:.75}
.play .dashed{stroke-dasharray:5 3}
.play .dots{stroke-dasharray:1.5 2.5}
.play .grid{fill:none;stroke-width:1}
.play .wash{fill-opacity:.16}
.play .half{fill-opacity:.45}
.play .band{fill-opacity:.09}
.play .edge{fill:none;stroke-opacity:.55}
.play .bar{fill-opacity:.22}
.play .clear{fill-opacity:0}
.play .failing{fill:url(#failed)}
.play .refusing{fill:url(#refused)}
.play .halo{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}
";
    format!("{SHAPES}{}@media (prefers-color-scheme:dark){{\n{}}}\n", rules(&LIGHT), rules(&DARK))
}

fn rules(colours: &Colours) -> String {
    let Colours { sheet, ink, soft, rule, first, other, failed, refused, fault } = colours;
    format!(
        "\
.play .sheet{{fill:{sheet}}}
.play .halo{{stroke:{sheet}}}
.play .ink{{fill:{ink}}}
.play .soft{{fill:{soft}}}
.play .due{{stroke:{soft}}}
.play .grid{{stroke:{rule}}}
.play .first{{stroke:{first}}}
.play .of-first{{fill:{first}}}
.play .other{{stroke:{other}}}
.play .of-other{{fill:{other}}}
.play .failed{{stroke:{failed}}}
.play .of-failed{{fill:{failed}}}
.play .refused{{stroke:{refused}}}
.play .of-refused{{fill:{refused}}}
.play .fault{{stroke:{fault}}}
.play .of-fault{{fill:{fault}}}
"
    )
}

/// What failed is hatched one way and what was refused the other way, over a wash of their colours.
pub(super) const HATCHES: &str = "\
<defs>
<pattern id=\"failed\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<rect width=\"5\" height=\"5\" class=\"of-failed half\"/><path d=\"M0,0V5\" class=\"failed\" stroke-width=\"3\"/></pattern>
<pattern id=\"refused\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">\
<rect width=\"5\" height=\"5\" class=\"of-refused wash\"/><path d=\"M0,0V5\" class=\"refused\" stroke-width=\"2\"/></pattern>
</defs>";

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of WCAG 2.2.
    #[allow(clippy::disallowed_methods, reason = "its last bit decides nothing")]
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        let linear = |part: f64| if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5))
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn every_colour_of_a_text_can_be_read_on_its_sheet() {
        for colours in [LIGHT, DARK] {
            let Colours { ink, soft, first, other, failed, refused, fault, .. } = colours;
            for text in [ink, soft, first, other, failed, refused, fault] {
                let contrast = contrast(text, colours.sheet);
                assert!(contrast >= 4.5, "{text} on {}: {contrast}", colours.sheet);
            }
        }
    }
}
