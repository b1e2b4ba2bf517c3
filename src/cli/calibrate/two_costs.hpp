// Two costs from times that are their sum in known amounts: least squares of the ratio, none negative.
// Used by the fits of `calibrate`.
// Does not know what the amounts are of.
#pragma once

#include <algorithm>
#include <utility>

namespace zerosim::cli {

/// seconds = first * x + second * y. `scale`: the measured time, by which a deviation is divided.
struct TwoCosts {
    double xx = 0, xy = 0, yy = 0, xt = 0, yt = 0;
    void add(double x, double y, double seconds, double scale) {
        const double weight = 1 / (scale * scale);
        xx += weight * x * x;
        xy += weight * x * y;
        yy += weight * y * y;
        xt += weight * x * seconds;
        yt += weight * y * seconds;
    }
    [[nodiscard]] std::pair<double, double> solve() const {
        const double determinant = xx * yy - xy * xy;
        const double x = (xt * yy - yt * xy) / determinant, y = (yt * xx - xt * xy) / determinant;
        if (determinant > 1e-9 * xx * yy && x >= 0 && y >= 0) return {x, y};
        const double x_alone = xx > 0 ? std::max(0.0, xt / xx) : 0.0, y_alone = yy > 0 ? std::max(0.0, yt / yy) : 0.0;
        return xx > 0 && (yy <= 0 || x_alone * xt >= y_alone * yt) ? std::pair{x_alone, 0.0} : std::pair{0.0, y_alone};
    }
};

} // namespace zerosim::cli
