//! A picture of latency over time, as SVG.

use std::fmt::Write;

use crate::{report::Latency, timeline::Point};

// Pixels.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// A line of the picture.
struct Line {
    name: &'static str,
    colour: &'static str,
    of: fn(&Latency) -> f64,
}

/// Told apart by colour and by their names at the right end.
const LINES: [Line; 3] = [
    Line { name: "p99.9", colour: "#c0392b", of: |it| it.p99_9 },
    Line { name: "p99", colour: "#b8860b", of: |it| it.p99 },
    Line { name: "p50", colour: "#1f6f8b", of: |it| it.p50 },
];

/// From values to pixels: time is linear, latency in powers of ten.
struct Axes {
    end_s: f64,
    /// Powers of ten, in microseconds.
    low: f64,
    high: f64,
}

/// The picture; with these words above it.
pub(crate) fn svg(title: &str, points: &[Point]) -> String {
    let axes = Axes::around(points);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    text(&mut svg, (LEFT, TOP - 16.0), "start", title);
    text(&mut svg, (WIDTH / 2.0, HEIGHT - 12.0), "middle", "time, s");
    let (x, y) = (18.0, HEIGHT / 2.0);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">\
         latency</text>"
    );
    for power in axes.low as i32..=axes.high as i32 {
        let y = axes.y(10_f64.powi(power));
        grid(&mut svg, (LEFT, y), (WIDTH - RIGHT, y));
        text(&mut svg, (LEFT - 8.0, y + 4.0), "end", &label(power));
    }
    let step_s = step(axes.end_s);
    for number in 0..=(axes.end_s / step_s) as u32 {
        let x = axes.x(f64::from(number) * step_s);
        grid(&mut svg, (x, TOP), (x, HEIGHT - BOTTOM));
        text(
            &mut svg,
            (x, HEIGHT - BOTTOM + 18.0),
            "middle",
            &format!("{}", f64::from(number) * step_s),
        );
    }
    // Names keep apart from each other where lines end close together.
    let mut name_y = TOP;
    for Line { name, colour, of } in LINES {
        let place = |point: &Point| (axes.x(point.at_s), axes.y(of(&point.latency)));
        let path: Vec<String> =
            points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            path.join(" ")
        );
        if let Some((_, y)) = points.last().map(place) {
            name_y = y.max(name_y);
            let x = WIDTH - RIGHT + 8.0;
            let _ =
                writeln!(svg, "<text x=\"{x}\" y=\"{name_y:.1}\" fill=\"{colour}\">{name}</text>");
            name_y += 16.0;
        }
    }
    svg + "</svg>\n"
}

impl Axes {
    fn around(points: &[Point]) -> Self {
        let p50 = points.iter().map(|point| point.latency.p50).fold(f64::INFINITY, f64::min);
        let p99_9 = points.iter().map(|point| point.latency.p99_9).fold(1.0, f64::max);
        // Nothing measured: an empty picture from 1 µs to 10 µs.
        let low = p50.clamp(1.0, p99_9).log10().floor();
        let high = p99_9.log10().ceil().max(low + 1.0);
        Self { end_s: points.last().map_or(1.0, |point| point.at_s.max(1.0)), low, high }
    }

    fn x(&self, at_s: f64) -> f64 {
        LEFT + at_s / self.end_s * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, us: f64) -> f64 {
        let part = (us.max(1.0).log10() - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// A power of ten of microseconds, with the unit that people use for it.
fn label(power: i32) -> String {
    match power {
        ..3 => format!("{} µs", 10_i32.pow(power.max(0).cast_unsigned())),
        3..6 => format!("{} ms", 10_i32.pow((power - 3).cast_unsigned())),
        _ => format!("{} s", 10_i32.pow((power - 6).cast_unsigned())),
    }
}

/// At most ten marks, at 1, 2 or 5 times a power of ten.
fn step(end_s: f64) -> f64 {
    let power = 10_f64.powf((end_s / 10.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
    steps.into_iter().find(|it| end_s / it <= 10.0).unwrap_or(end_s)
}

fn grid(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{words}</text>",
        at.0, at.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_lines_and_units() {
        let point = |at_s: f64| {
            let latency = Latency { p50: 40.0, p99: 900.0 * at_s, p99_9: 30_000.0, max: 1e5 };
            Point { at_s, latency }
        };
        let points: Vec<Point> = (1..=20).map(|second| point(f64::from(second))).collect();
        let svg = svg("rate <1>", &points);
        assert_eq!(svg.matches("<polyline").count(), 3);
        for part in ["time, s", ">10 µs<", ">100 ms<", ">20<", "p99.9", "rate &lt;1>"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn without_points_it_is_empty() {
        let svg = svg("idle", &[]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
