//! A percentile plot as SVG: latency over the share of messages that took longer, both logarithmic.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::kit::hlog::put_time;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
/// Room for the axes.
const LEFT: f64 = 80.0;
const BOTTOM: f64 = 50.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 20.0;
/// Points of a line.
const POINTS: usize = 300;
/// First colours of a palette that colour-blind people can tell apart (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// One line of a plot.
pub(crate) struct Line<'a> {
    pub(crate) name: String,
    /// Nanoseconds.
    pub(crate) latency: &'a Histogram<u64>,
}

/// The whole file. Lines without a value are left out.
pub(crate) fn percentiles(title: &str, lines: &[Line<'_>]) -> String {
    let filled = || lines.iter().map(|line| line.latency).filter(|latency| !latency.is_empty());
    let count = filled().map(Histogram::len).max().unwrap_or(1).max(10);
    let lowest = filled().map(Histogram::min).min().unwrap_or(1).max(1) as f64;
    let highest = filled().map(Histogram::max).max().unwrap_or(10).max(10) as f64;
    let (low, high) = (lowest.log10().floor(), highest.log10().ceil().max(lowest.log10().floor() + 1.0));
    // 0 at the median of everything, one for each further nine.
    let nines = (count as f64).log10();
    let x = |share_above: f64| LEFT + (WIDTH - LEFT - RIGHT) * (-share_above.log10() / nines).clamp(0.0, 1.0);
    let y = |time: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (time.max(1.0).log10() - low) / (high - low));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    put_grid(&mut out, nines, low, high, &x, &y);
    for (line, colour) in
        lines.iter().zip(COLOURS.iter().cycle()).filter(|(line, _)| !line.latency.is_empty())
    {
        let mut path = String::new();
        for point in 0..=POINTS {
            let above = 10f64.powf(-(point as f64 / POINTS as f64) * (line.latency.len() as f64).log10());
            let time = line.latency.value_at_quantile(1.0 - above) as f64;
            put(&mut path, format_args!("{:.1},{:.1} ", x(above), y(time)));
        }
        put(
            &mut out,
            format_args!(
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n"
            ),
        );
    }
    for (place, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let (at, name) = (TOP + 20.0 + 18.0 * place as f64, escaped(&line.name));
        put(
            &mut out,
            format_args!("<text x=\"{}\" y=\"{at}\" fill=\"{colour}\">{name}</text>\n", LEFT + 12.0),
        );
    }
    out.push_str("</svg>\n");
    out
}

fn put_grid(
    out: &mut String,
    nines: f64,
    low: f64,
    high: f64,
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) {
    for nine in 0..=nines.floor() as i32 {
        let share = 10f64.powi(-nine);
        let name = format!("{:.*} %", usize::try_from(nine - 2).unwrap_or(0), 100.0 * (1.0 - share));
        let at = x(share);
        put(
            out,
            format_args!(
                "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{}</text>\n",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 20.0,
                name
            ),
        );
    }
    for power in low as i32..=high as i32 {
        let at = y(10f64.powi(power));
        let mut name = String::new();
        put_time(10f64.powi(power), &mut name);
        put(
            out,
            format_args!(
                "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{name}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0
            ),
        );
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_line_for_each_histogram_with_values() {
        let mut latency = crate::kit::hlog::histogram();
        let empty = latency.clone();
        (1..=100_000_u64).for_each(|n| latency.saturating_record(n * 10));
        let line = |name: &str| Line { name: name.to_owned(), latency: &latency };
        let svg =
            percentiles("a < b", &[line("A"), line("B"), Line { name: "C".to_owned(), latency: &empty }]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("a &lt; b") && svg.contains("99.99 %") && svg.contains("100.0 us"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(percentiles("nothing", &[]).ends_with("</svg>\n"));
    }
}
