#include "control/settings.h"

#include <gtest/gtest.h>

#include "control/words.h"

namespace mars::control {
namespace {

TEST(settings, every_choice_that_help_lists_is_accepted) {
  for (const Setting& setting : settings_table()) {
    for (std::string_view word : words_of(setting.choices)) EXPECT_TRUE(check_setting(setting.name, word)) << word;
  }
}

TEST(settings, defaults_are_legal_and_equal_the_values) {
  std::map<std::string, std::string> stored;
  for (const Setting& setting : settings_table()) {
    std::string value(setting.default_value);
    if (setting.type == SettingType::duration) value += "ms";
    Result<std::string> checked = check_setting(setting.name, value);
    ASSERT_TRUE(checked) << checked.error().text;
    EXPECT_EQ(*checked, setting.default_value);
    stored.emplace(setting.name, *checked);
  }
  EXPECT_EQ(settings_from(stored), Settings{});
  EXPECT_EQ(settings_from({}), Settings{});
}

TEST(settings, are_stored_in_one_unit) {
  EXPECT_EQ(*check_setting("flush-interval", "1s"), "1000");
  EXPECT_EQ(*check_setting("handover-lag", "64M"), "67108864");
  EXPECT_EQ(settings_from({{"flush-interval", "1000"}, {"write-cache", "off"}}).flush_interval_ms, 1000u);
  EXPECT_FALSE(settings_from({{"write-cache", "off"}}).write_cache);
  EXPECT_EQ(setting_text(*find_setting("handover-lag"), "67108864"), "64M");
  EXPECT_EQ(setting_text(*find_setting("flush-interval"), "100"), "100ms");
}

TEST(settings, what_is_shown_can_be_set) {
  for (const Setting& setting : settings_table()) {
    std::vector<std::string> values = {std::string(setting.default_value)};
    for (std::string_view word : words_of(setting.choices)) values.emplace_back(word);
    if (setting.type != SettingType::choice) {
      for (uint64_t value : {setting.min, setting.min + 1, setting.max / 3, setting.max - 1, setting.max}) {
        values.push_back(std::to_string(value));
      }
    }
    for (const std::string& value : values) {
      const Result<std::string> again = check_setting(setting.name, setting_text(setting, value));
      ASSERT_TRUE(again) << setting.name << ": " << again.error().text;
      EXPECT_EQ(*again, value) << setting.name;
    }
  }
}

TEST(settings, bounds_are_kept) {
  for (auto [key, value] : {std::pair{"flush-interval", "0"},
                            {"flush-interval", "11s"},
                            {"write-cache", "maybe"},
                            {"handover-lag", "1"},
                            {"open-wait", "1h"},
                            {"deposed", "freeze"},
                            {"front-end", ""}}) {
    EXPECT_EQ(status_of(check_setting(key, value)), Status::invalid) << key;
  }
}

TEST(settings, unknown_key_names_the_nearest) {
  Result<std::string> result = check_setting("writecache", "on");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().status, Status::not_found);
  EXPECT_EQ(result.error().text, "there is no option \"writecache\"; did you mean \"write-cache\"?");
}

TEST(settings, values_of_a_newer_version_fall_back_to_the_default) {
  EXPECT_EQ(
      settings_from({{"deposed", "freeze"}, {"flush-interval", "soon"}, {"open-wait", "99999999999"}, {"x", "y"}}),
      Settings{});
}

}  // namespace
}  // namespace mars::control
