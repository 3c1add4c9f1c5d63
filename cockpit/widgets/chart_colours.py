"""The colours of charts: Okabe and Ito's palette for curves, an even scale for heat, the theme's own for the rest."""

from __future__ import annotations

from typing import Final

CHART_COLOURS: Final = """
$curve-0: #56B4E9; $curve-1: #E69F00; $curve-2: #12B886; $curve-3: #F0E442;
$curve-4: #CC79A7; $curve-5: #E8641B; $curve-6: #3D8FD6; $curve-7: #B0B0B0;
$pale-0: #0072B2; $pale-1: #A86800; $pale-2: #007A58; $pale-3: #8A7F00;
$pale-4: #A8457D; $pale-5: #C24A00; $pale-6: #2A86C8; $pale-7: #606060;

ChartView {
    width: 1fr;
    height: 1fr;
    background: transparent;

    & > .chart--blank { color: $foreground; }
    & > .chart--frame { color: $foreground 22%; }
    & > .chart--frame-focus { color: $primary; }
    & > .chart--title { color: $foreground; text-style: bold; }
    & > .chart--label { color: $foreground 62%; }
    & > .chart--faint { color: $foreground 32%; }
    & > .chart--value { color: $foreground; text-style: bold; }
    & > .chart--chance { color: $foreground 62%; }
    & > .chart--bound { color: $error; }
    & > .chart--clip { color: $warning; }
    & > .chart--alert { color: $error; text-style: bold; }
    & > .chart--intervention { color: $accent; }
    & > .chart--phase { color: $success; }
    & > .chart--checkpoint { color: $foreground 45%; }
    & > .chart--note { color: $secondary; }
    & > .chart--cursor { color: $foreground 80%; background: $foreground 14%; }
    & > .chart--on-curve { color: #101010; text-style: bold; }

    & > .chart--curve-0 { color: $curve-0; }
    & > .chart--curve-1 { color: $curve-1; }
    & > .chart--curve-2 { color: $curve-2; }
    & > .chart--curve-3 { color: $curve-3; }
    & > .chart--curve-4 { color: $curve-4; }
    & > .chart--curve-5 { color: $curve-5; }
    & > .chart--curve-6 { color: $curve-6; }
    & > .chart--curve-7 { color: $curve-7; }
    & > .chart--raw-0 { color: $curve-0 42%; }
    & > .chart--raw-1 { color: $curve-1 42%; }
    & > .chart--raw-2 { color: $curve-2 42%; }
    & > .chart--raw-3 { color: $curve-3 42%; }
    & > .chart--raw-4 { color: $curve-4 42%; }
    & > .chart--raw-5 { color: $curve-5 42%; }
    & > .chart--raw-6 { color: $curve-6 42%; }
    & > .chart--raw-7 { color: $curve-7 42%; }
    & > .chart--heat-0 { color: #3B1A78; }
    & > .chart--heat-1 { color: #5F1A80; }
    & > .chart--heat-2 { color: #861F7A; }
    & > .chart--heat-3 { color: #AE2E66; }
    & > .chart--heat-4 { color: #D24848; }
    & > .chart--heat-5 { color: #EE6C25; }
    & > .chart--heat-6 { color: #FB9D07; }
    & > .chart--heat-7 { color: #FCE36B; }

    &:light {
        & > .chart--on-curve { color: #FFFFFF; text-style: bold; }
        & > .chart--curve-0 { color: $pale-0; }
        & > .chart--curve-1 { color: $pale-1; }
        & > .chart--curve-2 { color: $pale-2; }
        & > .chart--curve-3 { color: $pale-3; }
        & > .chart--curve-4 { color: $pale-4; }
        & > .chart--curve-5 { color: $pale-5; }
        & > .chart--curve-6 { color: $pale-6; }
        & > .chart--curve-7 { color: $pale-7; }
        & > .chart--raw-0 { color: $pale-0 42%; }
        & > .chart--raw-1 { color: $pale-1 42%; }
        & > .chart--raw-2 { color: $pale-2 42%; }
        & > .chart--raw-3 { color: $pale-3 42%; }
        & > .chart--raw-4 { color: $pale-4 42%; }
        & > .chart--raw-5 { color: $pale-5 42%; }
        & > .chart--raw-6 { color: $pale-6 42%; }
        & > .chart--raw-7 { color: $pale-7 42%; }
        & > .chart--heat-0 { color: #F7D98B; }
        & > .chart--heat-1 { color: #F5B85A; }
        & > .chart--heat-2 { color: #F09238; }
        & > .chart--heat-3 { color: #E06A2C; }
        & > .chart--heat-4 { color: #C2452F; }
        & > .chart--heat-5 { color: #9C2B4B; }
        & > .chart--heat-6 { color: #6F1C63; }
        & > .chart--heat-7 { color: #3B1A5E; }
    }
}
"""
