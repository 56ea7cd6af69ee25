/* Market operators: what every operator keeps, hand-worked values, edges. Oracles: tests/integration/features/test_ops_market_oracle.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "features/pipeline.h"
#include "ops_contract.h"

static const weir_operator *const families[] = {weir_ops_market, weir_ops_indicators};
static const weir_operator *market(const char *name) {
    return operator_of(families, 2, name);
}

static void every_operator_keeps_the_contract(void **state) {
    (void)state;
    for (const weir_operator *op = weir_ops_market; op->name; op++) check_contract(op, "");
    for (const weir_operator *op = weir_ops_indicators; op->name; op++) check_contract(op, "n=14");
}

static void parameters_imply_the_records_that_are_read(void **state) {
    (void)state;
    static const struct {
        const char *name, *params;
        int records;
    } cases[] = {{"log_return", "n=1", 2}, {"log_return", "", 0},      {"sharpe", "n=20", 21},        {"true_range", "", 2},           {"stochastic", "", 18},
                 {"momentum", "n=7", 8},   {"relative_spread", "", 1}, {"relative_spread", "n=9", 9}, {"amihud_illiquidity", "n=3", 4}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const weir_operator *op = market(cases[i].name);
        weir_params params = params_of(op, cases[i].params);
        assert_int_equal(op->records(&params), cases[i].records);
    }
    assert_null(market("sma")->records); /* n itself */
}

/* The one feature of a pipeline; NULL with what is wrong in err. Free *ret_pipeline. */
static const weir_feature_def *parsed(const char *feature, weir_pipeline **ret_pipeline, weir_err *err) {
    char json[1024];
    snprintf(json, sizeof(json),
             "{\"pipeline\":\"t\",\"source\":{\"schema\":\"schemas/transaction.avsc\",\"key\":[\"customer_id\"],\"time\":\"tx_time\"},"
             "\"views\":[{\"name\":\"customer\",\"entity\":[\"customer_id\"],\"features\":[{\"name\":\"f\",\"of\":\"amount\",%s}]}]}",
             feature);
    return weir_pipeline_parse(json, NULL, ret_pipeline, err) ? NULL : &(*ret_pipeline)->views[0].features[0];
}

static void windows_are_implied_in_the_pipeline_file(void **state) {
    (void)state;
    static const struct {
        const char *feature;
        weir_window_kind window;
        int last_n;
    } cases[] = {{"\"op\":\"log_return\",\"n\":5", WEIR_WINDOW_LAST, 6},
                 {"\"op\":\"sma\",\"n\":5", WEIR_WINDOW_LAST, 5},
                 {"\"op\":\"bollinger\"", WEIR_WINDOW_LAST, 20},
                 {"\"op\":\"rsi\"", WEIR_WINDOW_ALL, 0},
                 {"\"op\":\"sma\",\"n\":5,\"window\":\"1d\"", WEIR_WINDOW_SLIDING, 0}};
    weir_pipeline *pipeline;
    weir_err err = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const weir_feature_def *f = parsed(cases[i].feature, &pipeline, &err);
        if (!f) fail_msg("%s: %s", cases[i].feature, err.message);
        assert_int_equal(f->window, cases[i].window);
        if (f->window == WEIR_WINDOW_LAST) assert_int_equal(f->last_n, cases[i].last_n);
        weir_pipeline_free(pipeline);
    }
    assert_null(parsed("\"op\":\"sma\"", &pipeline, &err)); /* neither a window nor n */
    assert_non_null(strstr(err.message, "window"));
    assert_null(parsed("\"op\":\"log_return\",\"n\":32768", &pipeline, &err));
    assert_non_null(strstr(err.message, "32769 records"));
    assert_null(parsed("\"op\":\"rsi\",\"window\":\"1d\"", &pipeline, &err));
    assert_non_null(strstr(err.message, "rsi"));
}

static void averages_need_n_values(void **state) {
    (void)state;
    const double x[] = {1, 2, 6, 3};
    assert_close("sma", value_of_one(market("sma"), "n=3", x, 4), 11.0 / 3);
    assert_close("sma", value_of_one(market("sma"), "n=5", x, 4), NONE);
    assert_close("sma", value_of_one(market("sma"), "", x, 4), 3);
    assert_close("ema", value_of_one(market("ema"), "n=3", x, 2), NONE);
    assert_close("ema", value_of_one(market("ema"), "n=3", x, 4), 3);
    assert_close("ema", value_of_one(market("ema"), "n=3 seed=first", x, 3), 3.75);
    assert_close("ema", value_of_one(market("ema"), "n=3 seed=adjusted", x, 2), (2 + 0.5 * 1) / 1.5);
}

static void bands_lie_around_the_average(void **state) {
    (void)state;
    const double x[] = {9, 1, 3}; /* of the last two: mean 2, deviation 1 */
    const weir_operator *op = market("bollinger");
    assert_close("upper", value_of_one(op, "n=2 output=upper", x, 3), 4);
    assert_close("middle", value_of_one(op, "n=2 output=middle", x, 3), 2);
    assert_close("lower", value_of_one(op, "n=2 output=lower", x, 3), 0);
    assert_close("width", value_of_one(op, "n=2 output=width", x, 3), 2);
    assert_close("percent", value_of_one(op, "n=2 output=percent", x, 3), 0.75);
    const double flat[] = {5, 5};
    assert_close("width", value_of_one(op, "n=2 output=width", flat, 2), 0);
    assert_close("percent", value_of_one(op, "n=2 output=percent", flat, 2), NONE);
}

static void returns_step_back_over_nulls(void **state) {
    (void)state;
    const double x[] = {100, 110, NAN, 121};
    assert_close("simple_return", value_of_one(market("simple_return"), "n=1", x, 4), 0.1);
    assert_close("simple_return", value_of_one(market("simple_return"), "n=2", x, 4), 0.21);
    assert_close("simple_return", value_of_one(market("simple_return"), "n=3", x, 4), NONE);
    assert_close("log_return", value_of_one(market("log_return"), "", x, 4), log(1.21));
    assert_close("momentum", value_of_one(market("momentum"), "n=1", x, 4), 11);
    assert_close("volatility", value_of_one(market("realised_volatility"), "n=2", x, 4), 0);
}

static void prices_that_are_not_positive_have_no_return(void **state) {
    (void)state;
    const double x[] = {100, 0, 121, 130};
    const char *const names[] = {"realised_volatility", "sharpe"};
    for (int i = 0; i < 2; i++) assert_close(names[i], value_of_one(market(names[i]), "n=3", x, 4), NONE);
    assert_close("simple_return", value_of_one(market("simple_return"), "n=2", x, 4), NONE);
    assert_close("log_return", value_of_one(market("log_return"), "n=2", x, 4), NONE);
    assert_close("momentum", value_of_one(market("momentum"), "n=2", x, 4), 130);
}

static void volatility_scales_with_the_root_of_the_periods(void **state) {
    (void)state;
    const double x[] = {1, M_E, M_E, M_E * M_E * M_E}; /* log returns 1, 0, 2: deviation 1 */
    assert_close("realised_volatility", value_of_one(market("realised_volatility"), "n=3", x, 4), 1);
    assert_close("realised_volatility", value_of_one(market("realised_volatility"), "n=3 periods=252", x, 4), sqrt(252));
    const double y[] = {1, 2, 2, 6}; /* returns 1, 0, 2: mean 1, deviation 1 */
    assert_close("sharpe", value_of_one(market("sharpe"), "n=3 periods=4 risk_free=0.5", y, 4), 1);
    const double even[] = {1, 2, 4, 8};
    assert_close("sharpe", value_of_one(market("sharpe"), "n=3", even, 4), NONE);
    const double high[] = {2, 4}, low[] = {1, 1};
    assert_close("parkinson", value_of(market("parkinson_volatility"), "", (const double *const[]){high, low}, 2), sqrt(5 * log(2) / 8));
}

static void illiquidity_leaves_out_days_without_volume(void **state) {
    (void)state;
    const double price[] = {10, 11, 12, 9}, volume[] = {5, 10, 0, 2};
    assert_close("amihud", value_of(market("amihud_illiquidity"), "", (const double *const[]){price, volume}, 4), (0.1 / 110 + 0.25 / 18) / 2);
    const double none[] = {0, 0, 0, 0};
    assert_close("amihud", value_of(market("amihud_illiquidity"), "", (const double *const[]){price, none}, 4), NONE);
}

static void rsi_is_wilders(void **state) {
    (void)state;
    const double x[] = {10, 12, 11, 14, 10}; /* gains 2 0 3 0, losses 0 1 0 4; n = 2: after two 1 and 0.5, then 2 and 0.25, then 1 and 2.125 */
    assert_close("rsi", value_of_one(market("rsi"), "n=2", x, 2), NONE);
    assert_close("rsi", value_of_one(market("rsi"), "n=2", x, 3), 100 / 1.5);
    assert_close("rsi", value_of_one(market("rsi"), "n=2", x, 4), 100 * 2 / 2.25);
    assert_close("rsi", value_of_one(market("rsi"), "n=2", x, 5), 100 / 3.125);
    const double flat[] = {7, 7, 7, 7};
    assert_close("rsi", value_of_one(market("rsi"), "n=2", flat, 4), 0);
}

static void ranges_reach_back_to_the_close_before(void **state) {
    (void)state;
    const double high[] = {12, 15, 20}, low[] = {8, 14, 11}, close[] = {9, 14.5, 12};
    const double *const in[] = {high, low, close};
    assert_close("true_range", value_of(market("true_range"), "", in, 1), NONE);
    assert_close("true_range", value_of(market("true_range"), "", in, 2), 6);
    assert_close("true_range", value_of(market("true_range"), "", in, 3), 9);
    assert_close("atr", value_of(market("atr"), "n=2", in, 2), NONE);
    assert_close("atr", value_of(market("atr"), "n=2", in, 3), 7.5);
    assert_close("stochastic", value_of(market("stochastic"), "n=3 slowing=1 signal=1", in, 3), 100.0 / 3);
    assert_close("stochastic", value_of(market("stochastic"), "n=2 slowing=1 signal=2 output=d", in, 3), (100 * 6.5 / 7 + 100.0 / 9) / 2);
    const double flat[] = {5, 5, 5};
    assert_close("stochastic", value_of(market("stochastic"), "n=3 slowing=1 signal=1", (const double *const[]){flat, flat, flat}, 3), 0);
}

static void macd_waits_for_its_signal(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 7}; /* fast 2, slow 3: averages 2.5 and 2, then 2.5 + 2/3 4.5 = 5.5 and 4.5 */
    const weir_operator *op = market("macd");
    assert_close("macd", value_of_one(op, "fast=2 slow=3 signal=2", x, 3), NONE);
    assert_close("macd", value_of_one(op, "fast=2 slow=3 signal=2 output=macd", x, 4), 1);
    assert_close("signal", value_of_one(op, "fast=2 slow=3 signal=2 output=signal", x, 4), 0.75);
    assert_close("histogram", value_of_one(op, "fast=2 slow=3 signal=2 output=histogram", x, 4), 0.25);
    weir_params wrong = {.value = {26, 26, 9}};
    assert_string_equal(op->prepare(&wrong), "fast must be below slow");
}

static void volume_follows_the_price(void **state) {
    (void)state;
    const double price[] = {10, 11, 11, 8, 9}, volume[] = {1, 2, 4, 8, 16};
    const double *const in[] = {price, volume};
    assert_close("obv", value_of(market("obv"), "", in, 5), 1 + 2 - 8 + 16);
    assert_close("vwap", value_of(market("vwap"), "", in, 2), 32.0 / 3);
    const double none[] = {0, 0};
    assert_close("vwap", value_of(market("vwap"), "", (const double *const[]){price, none}, 2), NONE);
}

static void quotes_that_move_up_are_demand(void **state) {
    (void)state;
    const double bid[] = {10, 10, 11, 10.5}, bid_size[] = {5, 7, 3, 9}, ask[] = {12, 12, 12, 11.5}, ask_size[] = {4, 1, 1, 6};
    const double *const in[] = {bid, bid_size, ask, ask_size};
    assert_close("ofi", value_of(market("order_flow_imbalance"), "", in, 1), NONE);
    assert_close("ofi", value_of(market("order_flow_imbalance"), "", in, 2), (7 - 5) - (1 - 4));
    assert_close("ofi", value_of(market("order_flow_imbalance"), "", in, 3), 5 + 3);
    assert_close("ofi", value_of(market("order_flow_imbalance"), "", in, 4), 8 - 3 - 6);
    assert_close("imbalance", value_of(market("volume_imbalance"), "", (const double *const[]){bid_size, ask_size}, 1), 1.0 / 9);
    assert_close("spread", value_of(market("relative_spread"), "", (const double *const[]){bid, ask}, 2), 2.0 / 11);
    const double crossed[] = {9, 9};
    assert_close("spread", value_of(market("relative_spread"), "n=1", (const double *const[]){bid, crossed}, 2), -1 / 9.5);
}

static void drawdowns_count_from_the_highest_value_before(void **state) {
    (void)state;
    const double x[] = {8, 10, 6, 12, 9, -1, 11};
    assert_close("drawdown", value_of_one(market("drawdown"), "", x, 3), -0.4);
    assert_close("drawdown", value_of_one(market("drawdown"), "", x, 7), 11.0 / 12 - 1);
    assert_close("max_drawdown", value_of_one(market("max_drawdown"), "", x, 7), -0.4);
    assert_close("max_drawdown", value_of_one(market("max_drawdown"), "", x, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_keeps_the_contract),
        cmocka_unit_test(parameters_imply_the_records_that_are_read),
        cmocka_unit_test(windows_are_implied_in_the_pipeline_file),
        cmocka_unit_test(averages_need_n_values),
        cmocka_unit_test(bands_lie_around_the_average),
        cmocka_unit_test(returns_step_back_over_nulls),
        cmocka_unit_test(prices_that_are_not_positive_have_no_return),
        cmocka_unit_test(volatility_scales_with_the_root_of_the_periods),
        cmocka_unit_test(illiquidity_leaves_out_days_without_volume),
        cmocka_unit_test(rsi_is_wilders),
        cmocka_unit_test(ranges_reach_back_to_the_close_before),
        cmocka_unit_test(macd_waits_for_its_signal),
        cmocka_unit_test(volume_follows_the_price),
        cmocka_unit_test(quotes_that_move_up_are_demand),
        cmocka_unit_test(drawdowns_count_from_the_highest_value_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
