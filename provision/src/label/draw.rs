//! Labels of 50 by 25 millimetres: the QR code at the left, the number and the secret at the right.

use std::fmt::Write as _;

use font8x8::UnicodeFonts as _;
use qrcodegen::{DataTooLong, QrCode, QrCodeEcc};

use super::Label;

/// Width and height in millimetres.
const SIZE: [u32; 2] = [50, 25];
/// The margin that scanners need around a QR code, in its dots.
const QUIET: u32 = 4;
/// Width and height of a character, in its dots.
const CHARACTER: u32 = 8;
/// Lines of the secret, and groups in each.
const SECRET_LINES: usize = 3;
const LINE_GROUPS: usize = 2;

/// The resolution of a printer, in dots per inch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Dpi {
    /// 8 dots a millimetre.
    #[value(name = "203")]
    D203,
    /// 12 dots a millimetre.
    #[value(name = "300")]
    D300,
}

impl Dpi {
    const fn dots(self, millimetres: u32) -> u32 {
        millimetres
            * match self {
                Self::D203 => 8,
                Self::D300 => 12,
            }
    }
}

/// A line of text: its top left corner, the size of a dot of its characters, and the text.
struct Line<'a> {
    x: u32,
    y: u32,
    dot: u32,
    text: &'a str,
}

/// Where everything on a label is, in dots of the printer.
struct Layout<'a> {
    width: u32,
    height: u32,
    code: QrCode,
    /// The size of a dot of the code.
    dot: u32,
    /// The top left corner of the code, without the margin.
    corner: u32,
    lines: Vec<Line<'a>>,
}

impl<'a> Layout<'a> {
    fn new(label: &'a Label, dpi: Dpi) -> Result<Self, DataTooLong> {
        let code = QrCode::encode_text(&label.claim(), QrCodeEcc::Medium)?;
        let [width, height] = SIZE.map(|size| dpi.dots(size));
        let side = code.size().unsigned_abs() + 2 * QUIET;
        let dot = (height / side).max(1);
        let corner = (height - (side - 2 * QUIET) * dot) / 2;
        let x = height + dot;
        let room = width - x - dot;
        let fitting =
            |text: &str| room / (CHARACTER * u32::try_from(text.len()).unwrap_or(1).max(1));
        let groups = LINE_GROUPS * (super::GROUP + 1);
        let secret = (0..SECRET_LINES).filter_map(|nth| {
            let line = label.secret().get(nth * groups..)?;
            Some(line.get(..groups).unwrap_or(line).trim_end_matches('-'))
        });
        // The number may be long, but is never larger than the secret.
        let most = fitting("XXXX-XXXX");
        // A number that is too long for one line is split in two, which share the first quarter of the label.
        let number = label.number();
        let (first, second) = match fitting(number) {
            0 => number.split_at(number.len().div_ceil(2)),
            _ => (number, ""),
        };
        let parts = [first, second].into_iter().filter(|part| !part.is_empty());
        let share = if second.is_empty() { 1 } else { 2 };
        let quarter = height / 4;
        let line = |y: u32, height: u32, text| {
            let dot = fitting(text).clamp(1, most).min(height / CHARACTER);
            Line { x, y: y + (height - CHARACTER * dot) / 2, dot, text }
        };
        let number =
            (0..).zip(parts).map(|(nth, text)| line(nth * quarter / share, quarter / share, text));
        let secret = (1..).zip(secret).map(|(nth, text)| line(nth * quarter, quarter, text));
        let lines = number.chain(secret).collect();
        Ok(Self { width, height, code, dot, corner, lines })
    }

    /// The top left corner of each dark dot of the code.
    fn dark(&self) -> impl Iterator<Item = (u32, u32)> {
        let size = self.code.size();
        let all = (0..size).flat_map(move |y| (0..size).map(move |x| (x, y)));
        all.filter(|(x, y)| self.code.get_module(*x, *y)).map(|(x, y)| {
            let place = |at: i32| self.corner + at.unsigned_abs() * self.dot;
            (place(x), place(y))
        })
    }

    /// Calls `paint` with each dark rectangle: left, top, and side of the square.
    fn paint(&self, mut paint: impl FnMut(u32, u32, u32)) {
        self.dark().for_each(|(x, y)| paint(x, y, self.dot));
        for line in &self.lines {
            for (nth, character) in (0..).zip(line.text.chars()) {
                let rows = font8x8::BASIC_FONTS.get(character).unwrap_or_default();
                for (y, row) in (0..).zip(rows) {
                    for x in (0..CHARACTER).filter(|x| row >> x & 1 == 1) {
                        let left = line.x + (nth * CHARACTER + x) * line.dot;
                        paint(left, line.y + y * line.dot, line.dot);
                    }
                }
            }
        }
    }
}

/// The label as SVG. The text is text, in any monospaced font.
///
/// # Errors
/// None for a number of valid length.
pub fn svg(label: &Label) -> Result<String, DataTooLong> {
    let layout = Layout::new(label, Dpi::D300)?;
    let ([width, height], dot) = (SIZE, layout.dot);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" \
         viewBox=\"0 0 {} {}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<path d=\"",
        layout.width, layout.height
    );
    for (x, y) in layout.dark() {
        let _ = write!(svg, "M{x} {y}h{dot}v{dot}h-{dot}z");
    }
    svg += "\"/>\n";
    for Line { x, y, dot, text } in &layout.lines {
        let (size, long) = (CHARACTER * dot, text.len() * (CHARACTER * dot) as usize);
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" font-family=\"monospace\" font-weight=\"bold\" font-size=\"{size}\" \
             textLength=\"{long}\">{text}</text>",
            y + size - dot
        );
    }
    svg += "</svg>\n";
    Ok(svg)
}

/// The label as PNG, a pixel for each dot of the printer.
///
/// # Errors
/// None for a number of valid length.
pub fn png(label: &Label, dpi: Dpi) -> Result<Vec<u8>, png::EncodingError> {
    let too_long = |error| png::EncodingError::IoError(std::io::Error::other(error));
    let layout = Layout::new(label, dpi).map_err(too_long)?;
    let (width, height) = (layout.width, layout.height);
    let mut pixels = vec![u8::MAX; (width * height) as usize];
    layout.paint(|x, y, side| {
        for y in y..(y + side).min(height) {
            let row = (y * width) as usize;
            pixels[row + x as usize..row + (x + side).min(width) as usize].fill(0);
        }
    });
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let per_metre = dpi.dots(1000);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// The label in the language of label printers (ZPL II). The printer makes the code and the text by itself.
///
/// # Errors
/// None for a number of valid length.
pub fn zpl(label: &Label, dpi: Dpi) -> Result<String, DataTooLong> {
    let layout = Layout::new(label, dpi)?;
    let mut zpl = format!("^XA^PW{}^LL{}\n", layout.width, layout.height);
    let (corner, dot) = (layout.corner, layout.dot.min(10));
    // M: the same error correction as in the other files; A: the printer finds the mode.
    let _ = writeln!(zpl, "^FO{corner},{corner}^BQN,2,{dot}^FDMA,{}^FS", *label.claim());
    for Line { x, y, dot, text } in &layout.lines {
        let size = CHARACTER * dot;
        let _ = writeln!(zpl, "^FO{x},{y}^A0N,{size},{size}^FD{text}^FS");
    }
    zpl += "^XZ\n";
    Ok(zpl)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an independent decoder reads from a picture.
    fn scan(file: &[u8]) -> String {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        let (width, height) = (frame.width as usize, frame.height as usize);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            pixels[y * width + x]
        });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn a_scanner_reads_what_the_label_says() {
        for number in ["A", "UNIT-0001", "A-NUMBER-OF-EXACTLY-31-LETTERS-"] {
            let label = Label::generate(number).unwrap();
            for dpi in [Dpi::D203, Dpi::D300] {
                assert_eq!(scan(&png(&label, dpi).unwrap()), *label.claim(), "{number}");
            }
        }
    }

    #[test]
    fn text_stays_on_the_label_and_beside_the_code() {
        for number in ["A", "UNIT-0001", "A-NUMBER-OF-EXACTLY-31-LETTERS-"] {
            let label = Label::generate(number).unwrap();
            for dpi in [Dpi::D203, Dpi::D300] {
                let layout = Layout::new(&label, dpi).unwrap();
                let (parts, rest) = layout.lines.split_at(layout.lines.len() - SECRET_LINES);
                let parts: String = parts.iter().map(|line| line.text).collect();
                assert_eq!(parts, number);
                let code = layout.corner + (layout.code.size().unsigned_abs() + QUIET) * layout.dot;
                for line in &layout.lines {
                    let end = line.x + CHARACTER * line.dot * line.text.len() as u32;
                    assert!(line.x >= code && end <= layout.width, "{number}: {}", line.text);
                    assert!(line.y + CHARACTER * line.dot <= layout.height);
                }
                let secret: Vec<&str> = rest.iter().map(|line| line.text).collect();
                assert_eq!(secret.join("-"), label.secret());
            }
        }
    }

    #[test]
    fn a_printer_is_given_the_same_text() {
        let label = Label::generate("UNIT-0001").unwrap();
        let text = zpl(&label, Dpi::D203).unwrap();
        assert!(text.starts_with("^XA^PW400^LL200\n^FO"), "{text}");
        assert!(text.contains(&format!("^BQN,2,5^FDMA,{}^FS\n", *label.claim())), "{text}");
        let svg = svg(&label).unwrap();
        for part in [&label.secret()[..9], "UNIT-0001"] {
            assert!(
                text.contains(&format!("^FD{part}^FS")) && svg.contains(&format!(">{part}</text>"))
            );
        }
    }
}
