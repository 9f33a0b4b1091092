// Where images of crashed disks are made.
#pragma once

#include <filesystem>
#include <string>

namespace cairn::test {

/// Images are made of memory where there is enough: what they test is not the disk.
class ImageDirectory {
 public:
  ImageDirectory() {
    std::string pattern =
        std::string(std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/var/tmp") + "/cairn-image-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~ImageDirectory() {
    if (!keep_) std::filesystem::remove_all(path_);
  }
  const std::string& path() const { return path_; }
  void keep() { keep_ = true; }
  std::string fresh(const std::string& name) const {
    const std::string directory = path_ + "/" + name;
    std::filesystem::remove_all(directory);
    std::filesystem::create_directory(directory);
    return directory;
  }

 private:
  std::string path_;
  bool keep_ = false;
};

}  // namespace cairn::test
